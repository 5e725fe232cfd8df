"""How files get in and out: ways in, progress, cancelling, errors, another model."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from app import create_app
from app.model import EXTENSION, Champion, Resources, ServedModel
from lung_tumor.predictor import Predictor
from tests.support.browsing import MIXED, choose, headline, keep, refusal
from tests.support.page_model import page_app, page_model, served
from tests.support.slice_files import zipped

pytestmark = pytest.mark.browser


def dispatch(page, kind: str, name: str, content: bytes) -> None:
    """A drop or a paste of one file, as a browser tells a page of it."""
    page.evaluate(
        """([kind, name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
            const [Event, key] = kind === "paste" ? [ClipboardEvent, "clipboardData"] : [DragEvent, "dataTransfer"];
            document.body.dispatchEvent(new Event(kind, {[key]: transfer, bubbles: true, cancelable: true}));
        }""",
        [kind, name, list(content)],
    )


def test_the_page_says_what_it_sends_and_can_be_cancelled(page, door, context, artifacts):
    door.shut()
    link = context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000}
    link.send("Network.emulateNetworkConditions", slow)
    choose(page, {f"{index}.png": MIXED["clear.png"] + bytes(100_000) for index in range(6)})
    expect(page.locator("#doing")).to_have_text("Uploading 1 to 4 of 6 …")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    keep(page, artifacts, "uploading")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_the_page_says_when_it_computes_and_goes_on_where_it_was_cancelled(page, door, artifacts):
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(4)})
    expect(page.locator("#batch-title")).to_be_focused()
    door.shut()
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(6)})
    expect(page.locator("#doing")).to_have_text("Computing 1 to 4 of 6 …")
    keep(page, artifacts, "computing")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Try again").click()
    door.open.set()
    expect(page.locator("#said")).to_contain_text("6 slices judged: 6 no sign.")


def test_a_request_that_fails_is_explained_and_goes_on_with_the_rest(page, door, artifacts):
    files = {f"{index}.png": MIXED["clear.png"] for index in range(6)}
    seen: list[str] = []

    def fail_the_second(route) -> None:
        seen.append(route.request.url)
        if len(seen) == 2:
            route.fulfill(status=500, content_type="application/problem+json", body='{"detail": "The server failed."}')
        else:
            route.continue_()

    page.route("**/api/v1/predictions*", fail_the_second)
    choose(page, files)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server failed")
    keep(page, artifacts, "request-error")
    page.get_by_role("button", name="Go on with the other 2").click()
    expect(page.locator("#said")).to_contain_text("6 slices judged: 6 no sign.")
    expect(alert).to_be_hidden()


def test_a_server_out_of_reach_is_named_and_asked_again(page):
    page.route("**/api/v1/predictions*", lambda route: route.abort())
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    expect(headline(page)).to_contain_text("no sign")


def test_a_busy_server_is_asked_again_when_it_says_so(page, door):
    door.refusals += [refusal(503, "busy", **{"Retry-After": "1"}), refusal(429, "slower", **{"Retry-After": "1"})]
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.locator("#doing")).to_contain_text("asking again in 1 s")
    expect(headline(page)).to_contain_text("no sign")


def test_where_the_api_wants_a_token_it_is_asked_for(context, artifacts):
    with served(create_app(Predictor(page_model(), threads=1), {"TOKEN": "open sesame"})) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"a.png": MIXED["clear.png"]})
        expect(page.get_by_role("alert")).to_contain_text("This server wants a token")
        keep(page, artifacts, "token")
        page.get_by_label("Access token").fill("open sesame")
        page.keyboard.press("Enter")
        expect(headline(page)).to_contain_text("no sign")


def test_a_file_above_the_limit_is_refused_before_it_is_sent(context):
    app = create_app(Predictor(page_model(), threads=1), {"MAX_CONTENT_LENGTH": 2**20})
    with served(app) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"large.png": MIXED["clear.png"] + bytes(2**20), "small.png": MIXED["clear.png"]})
        expect(page.locator("#said")).to_contain_text("2 slices judged: 1 no sign, 1 not read.")
        page.get_by_role("button", name="large.png").click()
        expect(page.locator("#results")).to_contain_text("1.0 MiB; at most 1 MiB can be sent")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_dropped_and_a_pasted_slice_are_judged(page, kind):
    dispatch(page, kind, "slice.png", MIXED["suspected.png"])
    expect(headline(page)).to_have_text("adenocarcinoma suspected")


def test_a_file_dragged_over_the_page_is_awaited(page, artifacts):
    dispatch(page, "dragenter", "slice.png", b"")
    expect(page.locator("body")).to_have_class("dragging")
    keep(page, artifacts, "dragging")
    dispatch(page, "dragleave", "slice.png", b"")
    expect(page.locator("body")).not_to_have_class("dragging")


def test_a_folder_is_judged_without_what_is_no_slice(page, tmp_path):
    for name in ("b10.png", "b9.png", ".DS_Store", "DICOMDIR"):
        (tmp_path / name).write_bytes(MIXED["clear.png"])
    page.get_by_label("choose a folder").set_input_files(tmp_path)
    expect(page.locator("#table tbody th")).to_have_text(["b9.png", "b10.png"])


def test_a_drop_without_a_slice_is_told_so(page):
    dispatch(page, "drop", "DICOMDIR", b"x")
    expect(page.get_by_role("alert")).to_contain_text("No slice was chosen")
    expect(page.get_by_role("alert")).to_contain_text("Choose the slices themselves")


def test_a_dropped_folder_that_cannot_be_read_is_told_so(page):
    page.evaluate(
        """() => {
            const entry = {isDirectory: true, createReader: () => ({readEntries: (done, fail) => fail(new Error("denied"))})};
            const event = new Event("drop", {bubbles: true, cancelable: true});
            event.dataTransfer = {types: ["Files"], files: [], items: [{webkitGetAsEntry: () => entry}]};
            document.body.dispatchEvent(event);
        }"""
    )
    expect(page.get_by_role("alert")).to_contain_text("The folder cannot be read")


def test_every_sample_can_be_tried(page):
    for sample in page.locator(".samples button").all():
        name = sample.get_attribute("value")
        sample.click()
        expect(page.locator("#results [data-slot=name]")).to_have_text(name)


def test_new_files_take_the_place_of_those_under_way(page, door):
    door.shut()
    choose(page, {"first.png": MIXED["clear.png"]})
    expect(page.locator("#doing")).to_have_text("Computing …")
    choose(page, {"second.png": MIXED["suspected.png"]})
    door.open.set()
    expect(page.locator("#results [data-slot=name]")).to_have_text("second.png")
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_real_server_serves_the_page_its_scripts_and_its_answers(browser, serve, project):
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(page_model())
    with serve(project) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        choose(page, MIXED)
        expect(page.locator("#said")).to_contain_text("5 slices judged")
        # Gunicorn waits for idle connections before it ends.
        context.close()


LATE = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The time was up. Try again later.",
}


def out_of_time(names: list[str], sent: list[str]):
    """What the API answers where the time was up for some slices, once; ``sent`` takes the names of all files sent."""
    left = list(names)

    def answer(route) -> None:
        response = route.fetch()
        body = response.json()
        sent.extend(item["name"] for item in body["predictions"])
        for index, item in enumerate(body["predictions"]):
            if item["name"] in left:
                left.remove(item["name"])
                body["predictions"][index] = {"name": item["name"], "file": item["file"], "error": LATE}
        route.fulfill(response=response, json=body)

    return answer


def test_slices_that_the_time_was_up_for_are_judged_when_asked_for_and_no_others(page, artifacts):
    files = {f"{index}.png": MIXED["clear.png"] for index in range(6)}
    sent: list[str] = []
    page.route("**/api/v1/predictions*", out_of_time(["1.png", "5.png"], sent))
    choose(page, files)
    expect(page.locator("#said")).to_have_text("4 slices judged: 4 no sign, 2 not judged.")
    expect(page.get_by_role("alert")).to_contain_text("The time was up.")
    expect(page.locator("#table tr", has_text="5.png")).to_contain_text("not judged")
    keep(page, artifacts, "late")
    assert sorted(sent) == sorted(files)
    sent.clear()
    page.get_by_role("button", name="Judge the other 2 now").click()
    expect(page.locator("#said")).to_have_text("6 slices judged: 6 no sign.")
    expect(page.locator("#table tbody th")).to_have_text(list(files))
    expect(page.get_by_role("alert")).to_be_hidden()
    assert sent == ["1.png", "5.png"]


def test_a_file_sent_again_for_one_of_its_slices_changes_none_that_was_judged(page):
    content = zipped({"a.png": MIXED["suspected.png"], "b.png": MIXED["clear.png"]})
    page.route("**/api/v1/predictions*", out_of_time(["b.png"], []))
    choose(page, {"both.zip": content})
    expect(page.locator("#said")).to_have_text("1 slice judged: 1 suspected, 1 not judged.")
    page.get_by_role("button", name="Judge the other 1 now").click()
    expect(page.locator("#said")).to_have_text("2 slices judged: 1 suspected, 1 no sign.")
    expect(page.locator("#table tbody th")).to_have_text(["a.png", "b.png"])


def test_another_model_is_made_known_and_its_banner_with_it(context, artifacts):
    app = page_app(synthetic=False)
    with served(app) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"a.png": MIXED["clear.png"]})
        expect(headline(page)).to_contain_text("no sign")
        expect(page.get_by_text("Another model answers")).to_be_hidden()
        expect(page.get_by_text("This model learnt from synthetic slices.")).to_be_hidden()
        new = Predictor(page_model(version="2.0"), threads=1)
        app.extensions[EXTENSION] = Champion(ServedModel(Resources.of(app.config), new, digest="another"))
        choose(page, {"a.png": MIXED["clear.png"]})
        expect(page.get_by_text("Model 2.0, float32, 2026-11-23, another")).to_be_visible()
        expect(page.get_by_text("Another model answers")).to_be_visible()
        expect(page.get_by_text("This model learnt from synthetic slices.")).to_be_visible()
        keep(page, artifacts, "another-model")
        page.get_by_role("link", name="open the page anew").click()
        expect(page.get_by_text("2.0, float32")).to_be_visible()
        expect(page.get_by_text("Another model answers")).to_be_hidden()
