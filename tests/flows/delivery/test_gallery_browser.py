from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from flows.delivery import deliver
from flows.delivery.gallery import gallery
from tests.flows.delivery.test_gallery import HOSTILE, many
from tests.support.browser import until
from tests.support.campaigns import Stage

pytestmark = pytest.mark.browser

SHEET = (
    "row_id,prompt,image,video,seed\n"
    "news,A woman reads the news,a.png,,\n"
    "song,A man sings by the sea,a.png,,\n"
    "film-1,The first shot,a.png,My film,\n"
    "film-2,The second shot,a.png,My film,\n"
    "lost,A child laughs,a.png,,\n"
    "bad,A dog barks,a.png,,x\n"
)


@pytest.fixture
def index(stage: Stage, tmp_path: Path) -> str:
    """Address of the gallery of a campaign with a bit of everything."""
    campaign = stage.submit(SHEET.encode())
    stage.play(campaign, failing={"lost": "the picture holds no face"})
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    return (tmp_path / "out" / "index.html").as_uri()


def names(page: Page) -> list[str]:
    return page.locator(".card:visible h2").all_inner_texts()


def test_videos_play_in_place_from_files_alone(index: str, page: Page) -> None:
    page.goto(index)
    card = page.locator("#v3")
    expect(card.locator("h2")).to_have_text("My film")
    card.get_by_role("button", name="Play My film", exact=True).click()
    until(page, "document.querySelector('#v3 video').readyState >= 2")
    assert card.locator("video").evaluate("v => [v.videoWidth, v.videoHeight, v.error]") == [160, 90, None]
    until(page, "document.querySelector('#v3 video').currentTime > 0.2")


def test_a_frame_of_the_strip_starts_the_video_there(index: str, page: Page) -> None:
    page.goto(index)
    page.get_by_role("button", name="Play news from 0.8s").click()
    until(page, "document.querySelector('#v1 video').currentTime > 0.75")


def test_pointing_at_a_picture_shows_the_frame_of_that_place(index: str, page: Page) -> None:
    page.goto(index)
    box = page.locator("#v1 .media").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    expect(page.locator("#v1 .peek")).to_be_visible()
    assert page.locator("#v1 .peek").evaluate("i => i.src").endswith("news.3.jpg")


def test_every_picture_is_there(index: str, page: Page) -> None:
    page.goto(index)
    page.locator("footer").scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.strip img')].every(i => i.complete && i.naturalWidth > 0)")
    until(page, "[...document.querySelectorAll('video')].every(v => v.poster)")


def test_typing_filters_the_videos(index: str, page: Page) -> None:
    page.goto(index)
    assert len(names(page)) == 5
    page.keyboard.press("/")
    page.keyboard.type("sings SEA")
    assert names(page) == ["song"]
    expect(page.get_by_role("status")).to_have_text("1 of 5")
    page.keyboard.press("Escape")
    assert len(names(page)) == 5
    page.keyboard.press("/")
    page.keyboard.type("no such video")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").click()
    assert len(names(page)) == 5


def test_a_state_and_an_error_code_filter_too(index: str, page: Page) -> None:
    page.goto(index)
    page.get_by_role("button", name="Failed 1").click()
    assert names(page) == ["lost"]
    page.get_by_role("button", name="All 5").click()
    page.get_by_role("button", name="SEED_INVALID").click()
    assert names(page) == ["bad"]
    expect(page.locator("#v5 .fix")).to_contain_text("write a whole number")


def test_everything_can_be_reached_and_started_with_the_keyboard(index: str, page: Page) -> None:
    page.goto(index)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the videos"
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "play":
            break
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#v1 video').currentTime > 0")


def test_no_script_of_a_sheet_runs_and_its_text_is_shown_as_text(stage: Stage, tmp_path: Path, page: Page) -> None:
    rows = ['r{},"{}",a.png\n'.format(n, prompt.replace('"', '""')) for n, prompt in enumerate(HOSTILE)]
    campaign = stage.submit(("row_id,prompt,image\n" + "".join(rows)).encode(), name="<img src=x onerror=pwned=1>")
    stage.play(campaign, failing={"r1": HOSTILE[0]})
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.locator("#find").fill("script")
    page.locator("#find").fill("")
    assert page.evaluate("typeof window.pwned") == "undefined"
    assert page.locator("h1").inner_text() == "<img src=x onerror=pwned=1>"
    for number, (row, written) in enumerate(zip(stage.ledger.rows(campaign), HOSTILE, strict=True), start=1):
        shown = page.locator(f"#v{number} .shots p").text_content()
        assert shown == (row.shot.prompt if row.shot else written)
    assert page.locator("#v5 .shots p").evaluate("p => getComputedStyle(p).unicodeBidi") == "isolate"


def test_a_search_finds_videos_on_other_pages(stage: Stage, tmp_path: Path, page: Page) -> None:
    for name, content in gallery(many(stage, 450), {}):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.locator("#find").fill("row-00437")
    expect(page.locator("#elsewhere h2")).to_have_text("1 more on other pages")
    page.get_by_role("link", name="row-00437").click()
    expect(page).to_have_url((tmp_path / "out" / "gallery" / "page-0003.html").as_uri() + "#v438")
    expect(page.locator("#v438")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1360])
def test_no_page_is_wider_than_its_window_and_text_has_contrast(
    index: str, browser: Browser, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    opened.goto(index)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ratios = opened.evaluate(CONTRAST)
    context.close()
    assert min(ratios.values()) >= 4.5, ratios


CONTRAST = """() => {
  // WCAG 2.1: relative luminance and contrast ratio of text against the first opaque background behind it.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratios = {};
  for (const selector of ['h1', '.lede', '.line', '.chip', '.chip b', '.card h2', '.shots', '.facts', '.error p',
                          '.error b', '.code', '.badge', '.files a', '.groups .n', '.fix > span']) {
    for (const element of document.querySelectorAll(selector)) {
      const behind = [];
      for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
      const back = over(behind), ink = over([...behind, getComputedStyle(element).color]);
      const [light, dark] = [luminance(ink), luminance(back)].sort((a, b) => b - a);
      const ratio = (light + 0.05) / (dark + 0.05);
      ratios[selector] = Math.min(ratios[selector] ?? 21, ratio);
    }
  }
  return ratios;
}"""
