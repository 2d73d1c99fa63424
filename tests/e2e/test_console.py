"""The console in a real browser: what its pages offer, light and dark, wide and narrow, with scripts or without."""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from gateway.admission.sessions import COOKIE
from gateway.embedded.samples import single_frame
from tests.support.browser import Watch, running_browser, violations
from tests.support.console import new_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.support.site import Site
    from tests.support.valkey import ValkeyServer

pytestmark = pytest.mark.slow

PAGES = (
    "/console",
    "/console/try",
    "/console/keys",
    "/console/keys/new",
    "/console/requests",
    "/console/break-glass",
    "/console/clients",
    "/console/clients/new",
    "/console/policies",
    "/console/policies/deid-basic",
    "/console/policies/plans",
    "/console/audit",
    "/console/switches",
    "/console/session",
    "/console/login",
    "/console/nothing",
)
WIDE, NARROW = {"width": 1024, "height": 768}, {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of this file."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def site(running_site: Site) -> Site:
    """The run's gateway."""
    running_site.listen()
    return running_site


class Person:
    """Someone with a browser of their own."""

    def __init__(self, browser: Browser, site: Site, **options: object) -> None:
        self.origin = f"http://127.0.0.1:{site.port}"
        # Colours that are on their way from light to dark are no colours of ours.
        given = {"base_url": self.origin, "viewport": WIDE, "reduced_motion": "reduce"} | options
        self.context: BrowserContext = browser.new_context(**given)  # type: ignore[arg-type]
        self.context.set_default_timeout(10_000)
        self.page: Page = self.context.new_page()
        self.watch = Watch(self.page, self.origin)
        self.key_id, self.key = new_key(site)

    def sign_in(self) -> Page:
        self.page.goto("/console")
        self.page.get_by_label("API key").fill(self.key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()
        return self.page


@pytest.fixture
def person(browser: Browser, site: Site) -> Iterator[Person]:
    """Signed in, and watched: no page asks anyone else, and the policy is never broken."""
    person = Person(browser, site)
    person.sign_in()
    yield person
    faults = person.watch.faults
    person.context.close()
    assert faults == []


def image() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 90).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_key_from_its_issue_to_its_end(person: Person, site: Site) -> None:
    page = person.page
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="Issue a key").click()
    page.get_by_label("Owner").fill("Radiology PACS")
    page.get_by_role("checkbox", name=re.compile("^clinician")).check()
    page.get_by_label("Note").fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Issue the key").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    with site.client(secret) as client:
        assert client.get("/v1/models").status_code == 200

    page.get_by_role("link", name=re.compile("go to the key")).click()
    expect(page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    assert secret not in page.content()
    page.get_by_text("Update", exact=True).click()
    page.get_by_label("Note").fill("")
    page.get_by_label("Note").press("Control+V")
    expect(page.get_by_label("Note")).to_have_value(secret)  # it was copied
    page.get_by_label("Note").fill("")
    page.get_by_label("Owner").fill("Radiology PACS 2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name=re.compile("Radiology PACS 2"))).to_be_visible()
    page.get_by_text("Rotate: give it a new secret").click()
    page.get_by_label("The old secret ends").select_option("0")
    page.get_by_role("button", name="Rotate").click()
    assert page.locator("#secret").inner_text() != secret
    page.get_by_role("link", name=re.compile("go to the key")).click()
    page.get_by_text("Revoke: end it for good").click()
    page.get_by_role("button", name="Revoke now").click()
    expect(page.get_by_text("The key is revoked.")).to_be_visible()

    page.get_by_role("link", name="Keys").first.click()
    page.get_by_label("Search").fill("radiology pacs 2")  # htmx asks as one types
    expect(page.locator("#keys tbody tr")).to_have_count(1)
    page.get_by_label("Status").select_option("active")
    expect(page.get_by_text("No key fits.")).to_be_visible()
    assert "status=active" in page.url


def test_a_switch_and_what_the_log_says_of_it(person: Person) -> None:
    page = person.page
    page.get_by_role("link", name="Switches").first.click()
    page.get_by_label("What", exact=True).select_option("model:brain_mri_resnet50")
    page.get_by_label("Reason").select_option("model-fault")
    page.get_by_label("Note for the other operators").fill("wrong labels")
    page.get_by_role("button", name="Switch off").click()
    row = page.locator("#switches tbody tr")
    expect(row).to_contain_text("wrong labels")
    row.get_by_role("button", name=re.compile("Switch on")).click()
    expect(page.get_by_text("Nothing is switched off.")).to_be_visible()

    page.get_by_label("What", exact=True).select_option("key:")
    page.get_by_role("button", name="Switch off").click()  # which key is not said
    expect(page.get_by_role("alert")).to_contain_text("The name must have")

    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Event").select_option("switch.changed")
    page.get_by_label("Key", exact=True).fill(person.key_id)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#records tbody tr")).to_have_count(2)
    expect(page.locator("#records")).to_contain_text("Model brain_mri_resnet50 switched off: model-fault")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("Verified up to")).to_be_visible()
    expect(page.get_by_text("Holds", exact=True)).to_have_count(4)


def test_the_story_of_a_request(person: Person, site: Site) -> None:
    with site.client(person.key) as client:
        answer = client.post("/v1/predict", content=image(), headers={"Content-Type": "image/png"})
    page = person.page
    page.goto("/console/audit")
    page.get_by_label("Request", exact=True).fill(answer.headers["x-request-id"])
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=re.compile("predict answered 200")).click()
    for title in ("Admitted", "Read", "De-identified", "Asked the model", "Answered"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name=re.compile("request.finished")).click()
    expect(page.get_by_role("heading", name=re.compile("Record #"))).to_be_visible()
    assert violations(page) == []


def test_an_image_is_tried_and_seen_as_the_model_saw_it(person: Person, tmp_path: Path) -> None:
    file = tmp_path / "DOE^JANE.dcm"
    file.write_bytes(single_frame().data)
    page = person.page
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("Drop a DICOM").set_input_files(file)
    page.get_by_role("button", name="De-identify and classify").click()
    expect(page.get_by_role("heading", name="What the model saw")).to_be_visible()
    picture = page.get_by_role("img", name=re.compile("Sanitized frame 1, . areas? masked"))
    assert picture.evaluate("each => each.complete && each.naturalWidth") == 384  # the page's policy lets it be shown
    assert page.locator("polygon.mask").count() > 0
    shares = page.locator(".chances td.num").all_inner_texts()
    assert len(shares) == 4
    assert abs(sum(float(each.split()[0]) for each in shares) - 100) < 0.3
    expect(page.locator(".groups")).to_contain_text("Patient")
    assert "DOE" not in page.locator("main").inner_text()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page, colours=scheme == "dark") == []
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.get_by_role("link", name="The audited story of this request").click()
    expect(page.get_by_role("heading", name="De-identified", exact=True)).to_be_visible()


def test_a_file_is_dropped_and_a_bad_one_is_named(person: Person) -> None:
    page = person.page
    page.goto("/console/try")
    page.evaluate(
        """() => {
          const held = new DataTransfer();
          held.items.add(new File(["no image at all"], "scan.dcm"));
          const drop = new DragEvent("drop", {dataTransfer: held, bubbles: true, cancelable: true});
          document.querySelector(".drop").dispatchEvent(drop);
        }"""
    )
    page.get_by_role("button", name="De-identify and classify").click()
    expect(page.get_by_role("alert")).to_contain_text("Unsupported media type")
    assert violations(page) == []
    page.get_by_role("link", name="What is on record of it").click()
    expect(page.get_by_role("heading", name="The story of a request")).to_be_visible()


def test_everyone_can_use_every_page(person: Person) -> None:
    page = person.page
    found = {}
    for path in (*PAGES, f"/console/keys/{person.key_id}"):
        page.goto(path)
        if path.endswith((person.key_id, "/audit")):
            page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true })")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if faults := violations(page, colours=scheme == "dark"):
                found[path, scheme] = faults
    assert found == {}


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["phone", "1024"])
def test_no_page_is_wider_than_the_screen(person: Person, size: dict[str, int]) -> None:
    page = person.page
    page.set_viewport_size(size)  # type: ignore[arg-type]
    for path in (*PAGES, f"/console/keys/{person.key_id}"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
        shown = page.locator("main h1").bounding_box()
        assert shown is not None
        assert shown["x"] >= 0


def test_the_keyboard_reaches_everything(person: Person) -> None:
    page = person.page
    page.goto("/console/keys?q=no+such+owner")  # however many keys other tests have made
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    reached = set()
    for _ in range(60):
        reached.add(page.evaluate("(document.activeElement.id || document.activeElement.textContent).trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
        page.keyboard.press("Tab")
    assert {"Issue a key", "Emergency key", "q", "status", "Filter", "Overview", "Sign out"} <= reached


def test_a_revoked_key_ends_the_session_within_a_second(person: Person, site: Site) -> None:
    page = person.page
    page.goto("/console/switches")
    site.run(site.app.state.parts.keys.revoke(person.key_id))
    time.sleep(1.0)
    page.get_by_role("button", name="Switch off").click()  # by htmx: the whole page is loaded anew
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_idle_session_ends(person: Person, valkey_server: ValkeyServer) -> None:
    page = person.page
    with valkey_server.client() as redis:
        names = redis.keys("session:*")
        left = [redis.pttl(name) / 1000 for name in names]
        assert all(0 < each <= 900 for each in left)
        for name in names:
            redis.pexpire(name, 50)  # as if 15 minutes had gone by
    time.sleep(0.1)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("alert")).to_contain_text("The session has ended")
    page.get_by_label("API key").fill(person.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()  # where one wanted to go


def test_the_page_says_when_an_idle_session_is_about_to_end(browser: Browser, site: Site) -> None:
    person = Person(browser, site)
    person.context.clock.install()
    page = person.sign_in()
    notice = page.get_by_text("This session ends soon")
    expect(notice).to_be_hidden()
    person.context.clock.run_for(810_000)
    expect(notice).to_be_visible()
    page.get_by_role("link", name="Stay signed in").click()
    expect(notice).to_be_hidden()
    person.context.close()
    assert person.watch.faults == []


def test_a_page_of_someone_else_can_do_nothing(person: Person, site: Site, browser: Browser) -> None:
    token = person.page.locator("input[name=csrf]").first.get_attribute("value")
    [cookie] = [each for each in person.context.cookies() if each["name"] == COOKIE]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    assert person.page.evaluate("document.cookie") == ""
    elsewhere = person.context.new_page()
    form = (
        f"<form method=post action='{person.origin}/console/switches/off'>"
        f"<input name=csrf value='{token}'><input name=target value='tenant:st-mary'><input name=reason value=test>"
        "<button>Win a prize</button></form>"
    )
    elsewhere.route("http://localhost:1/", lambda route: route.fulfill(body=form, content_type="text/html"))
    elsewhere.goto("http://localhost:1/")
    elsewhere.get_by_role("button").click()
    expect(elsewhere.get_by_role("heading", name="The credential does not allow this")).to_be_visible()
    link = f"<a href='{person.origin}/console/keys?q=no+such+owner'>To the keys</a>"
    elsewhere.route("http://localhost:1/", lambda route: route.fulfill(body=link, content_type="text/html"))
    elsewhere.goto("http://localhost:1/")
    elsewhere.get_by_role("link").click()  # one who is signed in stays so, though the cookie does not come along
    expect(elsewhere.get_by_text("No key fits.")).to_be_visible()
    framed = f"<iframe src='{person.origin}/console'></iframe>"
    elsewhere.route("http://localhost:1/", lambda route: route.fulfill(body=framed, content_type="text/html"))
    elsewhere.goto("http://localhost:1/")
    assert "Overview" not in elsewhere.frames[-1].content()
    person.page.goto("/console/switches")
    expect(person.page.get_by_text("Nothing is switched off.")).to_be_visible()


def test_without_scripts_everything_is_done_by_forms(browser: Browser, site: Site) -> None:
    person = Person(browser, site, java_script_enabled=False)
    page = person.sign_in()
    page.goto("/console/keys")
    page.get_by_label("Search").fill("no such owner")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No key fits.")).to_be_visible()
    page.goto("/console/switches")
    page.get_by_label("What", exact=True).select_option("key:")
    page.get_by_label("Which key or tenant").fill("key_NoSuchKey000")
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name=re.compile("Switch on key key_NoSuchKey000")).click()
    expect(page.get_by_text("Nothing is switched off.")).to_be_visible()
    page.goto("/console/audit")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("Verified up to")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/console/keys")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    person.context.close()
    assert person.watch.faults == []
