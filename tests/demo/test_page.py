"""The page in a real browser, headless: a photograph goes in; before, after and a download come back."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from tests.support.browser import FLAGS
from tests.support.page import SVG, enhance, enhanced, served_page
from tests.support.pictures import png_header_alone, write_png

WAIT = 60  # seconds, for a machine with other things to do
BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    with served_page(tmp_path_factory.mktemp('page')) as address:
        yield address


@pytest.fixture
def browser(tmp_path):
    if BROWSER is None or DRIVER is None:
        pytest.skip('no browser: apt-get install chromium chromium-driver')
    webdriver = pytest.importorskip('selenium.webdriver', reason="pip install 'entropy-sde-plugin[test]'")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    no_other_host = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'
    for flag in (*FLAGS, no_other_host, f'--user-data-dir={tmp_path / "profile"}', '--window-size=1280,900'):
        options.add_argument(flag)
    options.add_experimental_option('prefs', {'download.default_directory': str(tmp_path / 'downloads')})
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT, poll_frequency=0.1).until(lambda _: condition())


def found(browser, selector):
    return browser.find_elements('css selector', selector)


def brighten(browser, address, picture):
    """Open the page, give it an image, press the button."""
    browser.get(address)
    until(browser, lambda: found(browser, '#picture input[type=file]'))[0].send_keys(str(picture))
    until(browser, lambda: found(browser, '#picture img'))
    found(browser, '#brighten')[0].click()


def before_and_after(browser):
    """The two images under the slider, as arrays (H, W, 3) of 0…255, once both have been drawn."""
    drawn = 'return [...document.querySelectorAll("#slider img")].filter(i => i.complete && i.naturalWidth).length'
    until(browser, lambda: browser.execute_script(drawn) == 2)
    sources = [image.get_attribute('src') for image in found(browser, '#slider img')]
    return [np.asarray(Image.open(io.BytesIO(urlopen(source).read()))) for source in sources]


def downloaded(browser, folder):
    """Press the button for the download and return the path of the whole file."""
    until(browser, lambda: found(browser, '#download')[0].is_enabled())
    found(browser, '#download')[0].click()
    return until(browser, lambda: next((path for path in folder.glob('*.png') if path.stat().st_size), None))


def test_a_photograph_becomes_before_and_after_and_a_download(browser, address, tmp_path):
    dark = darken(photograph('coffee'), exposure=0.1, rng=np.random.default_rng(0))
    brighten(browser, address, write_png(tmp_path / 'my coffee.png', dark))

    before, after = before_and_after(browser)
    bright = enhanced(dark, 2)
    for shown, true in ((before, dark), (after, bright)):
        np.testing.assert_array_equal(shown, true)
    assert after.mean() > before.mean() + 60

    path = downloaded(browser, tmp_path / 'downloads')
    assert path.name == 'my coffee_bright.png'
    np.testing.assert_array_equal(np.asarray(Image.open(path)), bright)
    height, width = dark.shape[:2]
    assert f'{width} × {height} pixels, 2 steps' in found(browser, '#figures')[0].text

    assert [entry for entry in browser.get_log('browser') if entry['level'] == 'SEVERE'] == []
    assert hosts_asked(browser) == {urlsplit(address).netloc}


def hosts_asked(browser):
    """The hosts of all requests that the browser's network layer made for the page."""
    events = [json.loads(entry['message'])['message'] for entry in browser.get_log('performance')]
    urls = [event['params']['request']['url'] for event in events if event['method'] == 'Network.requestWillBeSent']
    return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme in ('http', 'https', 'ws', 'wss')}


def test_steps_are_those_that_were_chosen(browser, address, tmp_path):
    dark = np.full((40, 60, 3), 40, np.uint8)
    browser.get(address)
    field = until(browser, lambda: found(browser, '#steps input[type=number]'))[0]
    field.clear()
    field.send_keys('7\t')
    found(browser, '#picture input[type=file]')[0].send_keys(str(write_png(tmp_path / 'gray.png', dark)))
    until(browser, lambda: found(browser, '#picture img'))
    found(browser, '#brighten')[0].click()
    path = downloaded(browser, tmp_path / 'downloads')
    np.testing.assert_array_equal(np.asarray(Image.open(path)), enhanced(dark, 7))


def test_what_is_no_picture_is_reported_on_the_page(browser, address, tmp_path):
    cut = write_png(tmp_path / 'cut.png', photograph('coffee'))
    cut.write_bytes(cut.read_bytes()[:50_000])
    for name, content, expected in (
        ('cut.png', cut.read_bytes(), 'damaged or cut off'),
        ('bomb.png', png_header_alone(100_000, 100_000), 'million pixels'),
        ('drawing.svg', SVG, 'not a JPEG, PNG'),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        brighten(browser, address, path)
        toast = until(browser, lambda: found(browser, '[data-testid="toast-body"]'))[0]
        said = until(browser, lambda toast=toast: toast.text)
        assert expected in said
        assert str(tmp_path) not in said
        assert not found(browser, '#download')[0].is_enabled()


def test_a_port_that_is_taken_is_reported(address):
    from entropy_sde_plugin.demo.page import build_page, start
    from entropy_sde_plugin.errors import InputError

    page = build_page(enhance, steps=2, most_steps=100, about='', folder=Path())
    with pytest.raises(InputError, match='--port'):
        start(page, host='127.0.0.1', port=urlsplit(address).port)
