"""What the audit log is hammered with, and on."""
