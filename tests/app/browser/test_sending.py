"""How files get in and out: ways in, progress, cancelling, errors, another model."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from app import create_app
from app.model import EXTENSION, Champion, Resources, ServedModel
from lung_tumor.predictor import Predictor
from tests.support.browsing import MIXED, choose, headline, keep, refusal
from tests.support.dicom_files import dataset_of, phantom_hounsfield, written
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


def test_a_request_that_does_not_get_through_is_explained_and_goes_on_with_the_rest(page, door, artifacts):
    files = {f"{index}.png": MIXED["clear.png"] for index in range(6)}
    seen: list[str] = []

    def fail_the_second(route) -> None:
        seen.append(route.request.url)
        if len(seen) == 2:
            route.fulfill(status=502, content_type="text/html", body="Bad gateway")
        else:
            route.continue_()

    page.route("**/api/v1/predictions*", fail_the_second)
    choose(page, files)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server answered 502 without a reason.")
    keep(page, artifacts, "request-error")
    page.get_by_role("button", name="Go on with the other 2").click()
    expect(page.locator("#said")).to_contain_text("6 slices judged: 6 no sign.")
    expect(alert).to_be_hidden()


def broken_by(name: str, status: int, broken: list[bool]):
    """What answers a request that holds a certain file, as long as ``broken`` says so: a problem for the whole of it."""

    def answer(route) -> None:
        if broken[0] and f'filename="{name}"'.encode() in route.request.post_data_buffer:
            body = f'{{"status": {status}, "detail": "It broke."}}'
            route.fulfill(status=status, content_type="application/problem+json", body=body)
        else:
            route.continue_()

    return answer


@pytest.mark.parametrize(("status", "words"), [(413, "The upload is too large"), (400, "No slice was sent")])
def test_a_file_that_fails_every_request_that_holds_it_blocks_no_other(page, status, words):
    page.route("**/api/v1/predictions*", broken_by("1.png", status, [True]))
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(6)})
    expect(page.locator("#said")).to_have_text("6 slices judged: 5 no sign, 1 not read.")
    expect(page.locator("#table tbody th")).to_have_text([f"{index}.png" for index in range(6)])
    page.get_by_role("button", name="1.png").click()
    expect(headline(page)).to_have_text(words)
    expect(page.locator("#results")).to_contain_text("It broke.")


def test_a_file_that_the_server_fails_on_blocks_no_other_and_can_be_sent_again(page):
    broken = [True]
    page.route("**/api/v1/predictions*", broken_by("1.png", 500, broken))
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(6)})
    expect(page.locator("#said")).to_have_text("5 slices judged: 5 no sign, 1 not judged.")
    expect(page.get_by_role("alert")).to_contain_text("It broke.")
    again = page.get_by_role("button", name="Judge the other 1 now")
    again.click()
    expect(page.locator("#said")).to_have_text("5 slices judged: 5 no sign, 1 not judged.")
    broken[0] = False
    again.click()
    expect(page.locator("#said")).to_have_text("6 slices judged: 6 no sign.")


def test_a_file_that_is_gone_since_it_was_chosen_blocks_no_other(page, door, tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(MIXED["clear.png"])
    door.shut()
    page.get_by_label("Slices, as PNG, JPEG, DICOM or zip").set_input_files(sorted(tmp_path.iterdir()))
    expect(page.locator("#doing")).to_have_text("Computing 1 to 4 of 6 …")
    (tmp_path / "4.png").unlink()
    door.open.set()
    expect(page.locator("#said")).to_have_text("6 slices judged: 5 no sign, 1 not read.")
    page.get_by_role("button", name="4.png").click()
    expect(page.locator("#results")).to_contain_text("This file can no longer be read. Choose it again.")


@pytest.fixture(scope="module")
def site_of_four_slices():
    with served(create_app(Predictor(page_model(), threads=1), {"MAX_SLICES": 4})) as address:
        yield address


@pytest.mark.parametrize("names", [("one.zip", "two.zip"), ("one", "two")], ids=["zips", "zips by other names"])
def test_files_that_hold_more_slices_together_than_a_request_may_are_all_judged(context, site_of_four_slices, names):
    page = context.new_page()
    page.goto(site_of_four_slices)
    contents = [zipped({f"{letter}{index}.png": MIXED["clear.png"] for index in range(3)}) for letter in "ab"]
    choose(page, dict(zip(names, contents, strict=True)))
    expect(page.locator("#said")).to_have_text("6 slices judged: 6 no sign.")
    names_shown = [f"{letter}{index}.png" for letter in "ab" for index in range(3)]
    expect(page.locator("#table tbody th")).to_have_text(names_shown)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_series_of_many_frames_are_all_judged(context, site_of_four_slices):
    page = context.new_page()
    page.goto(site_of_four_slices)
    dataset = dataset_of(phantom_hounsfield()[::4, ::4].copy())
    dataset.NumberOfFrames = 3
    dataset.PixelData = 3 * dataset.PixelData
    choose(page, {f"{letter}.dcm": written(dataset) for letter in "abc"} | {"d.png": MIXED["clear.png"]})
    expect(page.locator("#batch-title")).to_have_text("10 slices")
    expect(page.get_by_text("not read")).to_have_count(1)  # The filter's own word.
    expect(page.locator("#table tbody th").last).to_have_text("d.png")


def test_of_a_zip_of_more_slices_than_are_judged_at_a_time_the_page_says_how_many_were_not(
    context, site_of_four_slices, artifacts
):
    page = context.new_page()
    page.goto(site_of_four_slices)
    choose(page, {"case.zip": zipped({f"{index}.png": MIXED["clear.png"] for index in range(6)})})
    expect(page.locator("#said")).to_have_text("5 slices judged: 4 no sign, 1 not read.")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not all slices were judged")
    expect(alert).to_contain_text("4.png: At most 4 slices are judged at a time: the last 2 of this file")
    expect(alert.get_by_role("button")).to_have_count(0)
    keep(page, artifacts, "too-many-slices")


@pytest.mark.parametrize("token", ["s3cret-ü", "€à"])
def test_a_token_may_hold_any_letter(context, token):
    with served(create_app(Predictor(page_model(), threads=1), {"TOKEN": token})) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"a.png": MIXED["clear.png"]})
        page.get_by_label("Access token").fill(token)
        page.keyboard.press("Enter")
        expect(headline(page)).to_contain_text("no sign")


def test_a_server_out_of_reach_is_named_and_asked_again(page):
    page.route("**/api/v1/predictions*", lambda route: route.abort())
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    expect(headline(page)).to_contain_text("no sign")


def test_a_busy_server_is_asked_again_when_it_says_so(page, door):
    door.refusals += [refusal(503, "No `model` yet.", **{"Retry-After": "1"}), refusal(429, "", **{"Retry-After": "1"})]
    choose(page, {"a.png": MIXED["clear.png"]})
    for words in ("No model yet. Asking again in 1 s …", "The server is busy. Asking again in 1 s …"):
        expect(page.locator("#doing")).to_have_text(words)
        expect(page.locator("#said")).to_have_text(words)
    expect(headline(page)).to_contain_text("no sign")


def test_who_listens_hears_now_and_then_how_far_it_is(page, door):
    page.clock.install()
    page.evaluate(
        """() => {
            window.heard = [];
            const listen = () => heard.push(document.getElementById("said").textContent);
            new MutationObserver(listen).observe(document.getElementById("said"), {childList: true});
        }"""
    )
    door.shut()
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(10)})
    expect(page.locator("#doing")).to_have_text("Computing 1 to 4 of 10 …")
    page.clock.fast_forward("00:15")
    door.open.set()
    expect(page.locator("#said")).to_contain_text("10 slices judged")
    assert page.evaluate("heard") == [
        "Judging 10 files.",
        "Uploading 5 to 8 of 10 …",
        "10 slices judged: 10 no sign.",
    ]


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


@pytest.mark.parametrize("size", [2**20 + 5000, 2**20 - 50], ids=["above the limit", "just below it"])
def test_a_file_that_no_request_has_room_for_is_refused_before_it_is_sent(context, size):
    app = create_app(Predictor(page_model(), threads=1), {"MAX_CONTENT_LENGTH": 2**20})
    with served(app) as site:
        page = context.new_page()
        page.goto(site)
        sent = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        choose(page, {"large.png": MIXED["clear.png"].ljust(size, b"\0"), "small.png": MIXED["clear.png"]})
        expect(page.locator("#said")).to_contain_text("2 slices judged: 1 no sign, 1 not read.")
        assert len(sent) == 1
        page.get_by_role("button", name="large.png").click()
        expect(page.locator("#results")).to_contain_text("1.0 MiB; a little less than 1 MiB can be sent")
        expect(page.get_by_role("alert")).to_contain_text("large.png: This file holds 1.0 MiB")


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
