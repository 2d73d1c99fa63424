"""The one-machine stack: a private Valkey and a real Triton, started and stopped together.

StackError        something could not be started; the message says what to do
child.Child       one child process that cannot outlive its parent
valkey, triton    how each server is started, and when it is ready
secrets           this machine's own keys, made once
state             the folder that holds all of it, locked for one owner
stack.Stack       all of it, in the right order
"""
