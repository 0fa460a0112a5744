"""What the page at / says of a heartbeat, beside its status."""

import re
from pathlib import Path

from running import exporter_in

CONFIG = """heartbeats:
  - name: backup
    interval: 1h
    description: Dumps <orders> & "more"
    labels: {team: storage, severity: <critical>}
  - {name: plain, interval: 1h}
"""


async def test_a_heartbeat_is_shown_with_its_description_and_labels(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG) as server, server.client.get("/") as answer:
        page = await answer.text()
    backup, plain = re.findall(r"<tr>\n<td>new</td>\n(.*?)</tr>", page, re.DOTALL)
    assert "backup<br><bdi>Dumps &lt;orders&gt; &amp; &#34;more&#34;</bdi></th>" in backup
    assert "<td><bdi>severity=&lt;critical&gt;</bdi>, <bdi>team=storage</bdi></td>" in backup
    assert '<th scope="row">plain</th>\n<td></td>' in plain


async def test_the_page_allows_itself_nothing_that_could_run(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG) as server, server.client.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
