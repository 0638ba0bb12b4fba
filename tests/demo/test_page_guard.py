"""The page under hostile requests: only its own files, only under its own name. No browser is needed."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.support.page import SVG, enhanced, served_page
from tests.support.pictures import png_header_alone, write_png

FILE_DATA = {'meta': {'_type': 'gradio.FileData'}}
REFUSED = 'The page does not have this image (any more): drop it in again.'
DARK = np.random.default_rng(0).integers(0, 60, (24, 32, 3)).astype(np.uint8)


class Client:
    """What a browser says to the page, or a program that means harm."""

    def __init__(self, address: str, folder: Path) -> None:
        self.host, self.folder = urlsplit(address).netloc, folder
        functions = json.loads(self.ask('GET', '/config')[2])['dependencies']
        self.functions = {function['api_name']: function['id'] for function in functions}

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def post(self, path, body, headers=()):
        headers = {'Content-Type': 'application/json', **dict(headers)}
        return self.ask('POST', f'/gradio_api/{path}', json.dumps(body), headers)

    def upload(self, name: str, data: bytes) -> str:
        head = f'--cut\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        headers = {'Content-Type': 'multipart/form-data; boundary=cut'}
        status, _, answer = self.ask(
            'POST', '/gradio_api/upload', head.encode() + data + b'\r\n--cut--\r\n', headers=headers
        )
        assert status == 200
        return json.loads(answer)[0]

    def call(self, function: str, *data):
        """Join the queue, wait for the end; return whether it went well, and what came."""
        session = uuid.uuid4().hex
        body = {'data': data, 'fn_index': self.functions[function], 'session_hash': session}
        assert self.post('queue/join', body)[0] == 200
        _, _, events = self.ask('GET', f'/gradio_api/queue/data?session_hash={session}')
        messages = [json.loads(line.removeprefix('data: ')) for line in events.decode().splitlines() if line]
        (end,) = (message for message in messages if message['msg'] == 'process_completed')
        return end['success'], end['output'].get('data', end['output'].get('error'))

    def run(self, picture, steps=2, auto=True, brightness=0.4, strength=1):
        return self.call('run', picture, steps, auto, brightness, strength)

    def file(self, path: str, **headers):
        return self.ask('GET', f'/gradio_api/file={quote(path)}', headers=headers)


@pytest.fixture(scope='module')
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    with served_page(folder) as address:
        yield Client(address, folder)


@pytest.fixture
def secret(tmp_path):
    return write_png(tmp_path / 'secret.png', DARK)


def png_bytes(samples):
    data = io.BytesIO()
    Image.fromarray(samples).save(data, 'PNG')
    return data.getvalue()


def test_an_upload_is_brightened(client):
    path = client.upload('dark one.png', png_bytes(DARK))
    success, (_, download, figures, _) = client.run({'path': path, 'orig_name': 'dark one.png', **FILE_DATA}, 3)
    assert success
    assert '32 × 24 pixels, 3 steps' in figures
    status, _, data = client.file(download['value']['path'])
    assert status == 200
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), enhanced(DARK, 3))


def test_brightness_and_strength_are_those_that_were_chosen(client):
    path = client.upload('dark.png', png_bytes(DARK))
    success, (_, download, figures, slider) = client.run({'path': path, **FILE_DATA}, 2, False, 0.6, 0.5)
    assert success
    assert 'brightness 0.30' in figures  # the stand-in gives 0.6, half of it by the strength
    assert slider == 0.6
    data = client.file(download['value']['path'])[2]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), enhanced(DARK, 2, 0.6, 0.5))


def test_the_slider_shows_the_brightness_that_auto_chose(client):
    path = client.upload('dark.png', png_bytes(DARK))
    _, (_, _, _, slider) = client.run({'path': path, **FILE_DATA}, 2, True, 0.6)
    luma = enhanced(DARK, 2).astype(float) @ [0.299, 0.587, 0.114]
    assert slider == round(luma.mean() / 255, 2)


def test_settings_out_of_their_range_are_refused(client):
    picture = {'path': client.upload('dark.png', png_bytes(DARK)), **FILE_DATA}
    for value in (0, 1, -0.5, 'bright', None, True):
        success, message = client.run(picture, 2, False, value)
        assert not success
        assert 'from 0.05 to 0.95' in message
    for value in (1.5, -1, 'all', None):
        success, message = client.run(picture, 2, False, 0.5, value)
        assert not success
        assert 'from 0 to 1' in message


def test_an_example_is_brightened(client):
    success, (example,) = client.call('load_example', 0)
    assert success
    assert client.file(example['value']['path'])[0] == 200
    assert client.run(example['value'])[0]


def hostile_files(client, secret):
    """What must not be opened, by the kind of trick."""
    own = client.upload('own.png', png_bytes(DARK))
    unlisted = write_png(client.folder / 'unlisted.png', DARK)
    link = client.folder / 'link.png'
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    planted = Path(client.upload('planted.png', png_bytes(DARK + 1)))  # an upload's name, but a link by now
    planted.unlink(missing_ok=True)
    planted.symlink_to(secret)
    gone = Path(client.upload('gone.png', png_bytes(DARK + 2)))
    gone.unlink()
    return {
        'there': str(secret),
        'not there': str(secret.parent / 'no.png'),
        'a folder': str(secret.parent),
        'may not be read': '/root/.ssh/id_rsa',
        'a device': '/dev/zero',
        'dots': str(Path(own).parent) + f'/../../..{secret}',
        'dots to an own file': f'{Path(own).parent}/../{Path(own).parent.name}/own.png',
        'link': str(link),
        'link under an own name': str(planted),
        'gone': str(gone),
        'in the folder, not uploaded': str(unlisted),
        'relative': 'README.md',
        'zero byte': f'{own}\0',
        'file URL': f'file://{secret}',
        'empty': '',
    }


def test_no_other_file_is_opened_and_none_is_known_to_exist(client, secret):
    for trick, path in hostile_files(client, secret).items():
        for more in ({}, FILE_DATA, {'orig_name': 'x.svg'}, {'orig_name': 'x.svg', **FILE_DATA}):
            assert client.run({'path': path, **more}) == (False, REFUSED), (trick, more)
        status, _, answer = client.file(path)
        assert (status, answer) == (404, b'Not found.\n'), trick


@pytest.mark.parametrize(
    'value',
    [
        {},
        {'path': None, 'url': 'data:image/png;base64,' + 'A' * 8},
        {'path': ['/etc/passwd'], **FILE_DATA},
        [{'path': '/etc/passwd', **FILE_DATA}],
        {'value': {'path': '/etc/passwd', **FILE_DATA}},
    ],
)
def test_other_shapes_of_a_file_are_refused_alike(client, value):
    assert client.run(value) == (False, REFUSED)


def test_a_file_in_place_of_the_steps_is_not_opened(client, secret):
    path = client.upload('own.png', png_bytes(DARK))
    assert client.run({'path': path, **FILE_DATA}, {'path': str(secret), **FILE_DATA}) == (False, REFUSED)
    for steps in (0, 101, 2.5, 'two', None):
        success, message = client.run({'path': path, **FILE_DATA}, steps)
        assert not success
        assert '1 to 100' in message


def test_what_comes_with_an_own_file_changes_nothing(client, secret):
    """The URL, the name and the marks that a request adds to an uploaded file are not believed."""
    path = client.upload('own.png', png_bytes(DARK))
    more = {
        'url': f'http://127.0.0.1:1{secret}',
        'orig_name': '../../x.svg',
        'is_stream': True,
        'mime_type': 'text/html',
    }
    success, (_, download, _, _) = client.run({'path': path, **more, **FILE_DATA})
    assert success
    assert Path(download['value']['path']).name == 'own_bright.png'


def test_an_upload_stays_in_its_folder(client):
    path = Path(client.upload('../../../escaped.png', png_bytes(DARK)))
    assert path.resolve().is_relative_to(client.folder.resolve())


def test_no_url_is_fetched(client):
    asked = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(('127.0.0.1', 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/x.png'
    try:
        for more in ({}, FILE_DATA, {'url': url, **FILE_DATA}):
            assert client.run({'path': url, **more}) == (False, REFUSED)
        for path in (f'file={url}', f'file/{url}', f'proxy={url}', f'file={quote(url, safe="")}'):
            status, _, answer = client.ask('GET', f'/gradio_api/{path}')
            assert (status, answer) == (404, b'Not found.\n')
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


@pytest.mark.parametrize('route', ['run/run', 'api/run', 'call/run', 'call/v2/run', 'component_server', 'stream/x'])
def test_what_the_page_does_not_use_is_closed(client, secret, route):
    assert client.post(route, {'data': [{'path': str(secret)}, 2]})[0] == 404


@pytest.mark.parametrize(
    'path', ['/gradio_api/deep_link?session_hash=x', '/gradio_api/info', '/monitoring', '/x/../..']
)
def test_pages_that_it_does_not_use_are_closed(client, path):
    assert client.ask('GET', path)[0] == 404


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:{port}', '127.0.0.1.evil.example', 'x@127.0.0.1', '192.168.0.1', '', '[']
)
def test_a_foreign_host_is_refused(client, host):
    host = host.format(port=client.host.rpartition(':')[2])
    for method, path in (('GET', '/'), ('GET', '/config'), ('POST', '/gradio_api/upload')):
        assert client.ask(method, path, headers={'Host': host})[0] == 403


@pytest.mark.parametrize('host', ['localhost:{port}', 'LOCALHOST', '127.0.0.1:8080', '[::1]:{port}'])
def test_every_name_of_this_machine_is_answered(client, host):
    host = host.format(port=client.host.rpartition(':')[2])
    assert client.ask('GET', '/config', headers={'Host': host, 'Origin': f'http://{host}'})[0] == 200


@pytest.mark.parametrize(
    'origin', ['http://evil.example', 'null', '', 'http://127.0.0.1:1', 'http://{host}.evil.example']
)
def test_a_foreign_origin_is_refused(client, origin):
    headers = {'Origin': origin.format(host=client.host)}
    body = {'data': [None, 2], 'fn_index': client.functions['run'], 'session_hash': 'x'}
    assert client.post('queue/join', body, headers)[0] == 403
    assert client.ask('POST', '/gradio_api/upload', b'', headers)[0] == 403
    assert client.ask('GET', '/config', headers=headers)[0] == 403


def test_an_unknown_function_is_said(client):
    body = {'data': [], 'fn_index': 999, 'session_hash': 'x'}
    status, _, answer = client.post('queue/join', body)
    assert (status, answer) == (404, b'The page has no such function.\n')


def test_the_own_origin_is_answered(client):
    body = {'data': [None, 2], 'fn_index': client.functions['run'], 'session_hash': 'x'}
    assert client.post('queue/join', body, {'Origin': f'http://{client.host}'})[0] == 200


@pytest.mark.parametrize(
    ('header', 'host', 'answers'),
    [
        ('192.168.1.5:7860', '0.0.0.0', True),
        ('[fe80::1]:7860', '::', True),
        ('localhost', '0.0.0.0', True),
        ('evil.example', '0.0.0.0', False),
        ('evil.example', '::', False),
        ('photos.lan:7860', 'photos.lan', True),
        ('evil.example', 'photos.lan', False),
        ('192.168.1.5', '192.168.1.5', True),
        ('localhost', '192.168.1.5', False),
        ('127.0.0.1', 'localhost', True),
        ('[0:0:0:0:0:0:0:1]:7860', '[::1]', True),
        ('127.0.1.1', '127.0.1.1', True),
        ('a b', '0.0.0.0', False),
    ],
)
def test_names_that_an_address_answers_to(header, host, answers):
    pytest.importorskip('starlette')
    from entropy_sde_plugin.demo.page_guard import answers_to

    assert answers_to(header, host) is answers


def test_served_to_the_network_it_answers_to_the_machines_name(tmp_path):
    with served_page(tmp_path, host='0.0.0.0') as address:
        client = Client(address, tmp_path)
        assert client.ask('GET', '/config', headers={'Host': f'{socket.gethostname()}:7860'})[0] == 200
        assert client.ask('GET', '/config', headers={'Host': 'evil.example'})[0] == 403


@pytest.mark.parametrize(
    ('name', 'data', 'line'),
    [
        ('bomb.png', png_header_alone(100_000, 100_000), 'million pixels'),
        ('x.svg', SVG, 'not a JPEG, PNG'),
        ('cut.png', png_bytes(DARK)[:700], 'damaged or cut off'),
        ('empty.png', b'', 'not a JPEG, PNG'),
        ('notes.txt', b'words', 'not a JPEG, PNG'),
    ],
)
def test_an_upload_that_is_no_picture_is_named_in_one_line(client, name, data, line):
    path = client.upload(name, data)
    success, message = client.run({'path': path, 'orig_name': name, **FILE_DATA})
    assert not success
    assert line in message
    assert '\n' not in message
    assert str(client.folder) not in message


def test_an_uploaded_script_does_not_run_on_the_page(client):
    path = client.upload('x.svg', b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    client.run({'path': path, **FILE_DATA})
    for name in (path, client.upload('x.html', b'<script>alert(1)</script>')):
        assert client.file(name)[1]['Content-Disposition'].startswith('attachment')
