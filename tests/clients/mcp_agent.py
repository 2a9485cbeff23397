"""The SDK of the Model Context Protocol as an agent uses it: `lector mcp` on standard input and output, and `/mcp` of the server,
each in the newest version of the protocol and with the handshake of older ones."""

import asyncio
import base64
import os
import pathlib
import sys

from mcp import Client, MCPError, StdioServerParameters

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
lector = os.environ["LECTOR"]


def over_stdio():
    settings = ["--set", f"client.server={server}", "--root", str(pdf.parent)]
    return StdioServerParameters(command=lector, args=["mcp", *settings], env=dict(os.environ))


def content(path):
    return {"content": base64.b64encode(path.read_bytes()).decode(), "name": path.name}


async def use(client, document, picture, unreadable):
    """Calls each tool. The SDK compares each result with the schema that the server has announced."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"read_document", "read_page", "list_deployments"}, tools
    assert tools["read_document"].annotations.read_only_hint
    deployments = (await client.call_tool("list_deployments")).structured_content["deployments"]
    assert any(one["name"] == "standard" and one["serves"] for one in deployments), deployments

    seen = []

    async def progress(done, total, message):
        seen.append((done, total))

    result = await client.call_tool("read_document", document, progress_callback=progress)
    assert not result.is_error, result
    read = result.structured_content
    assert read["page_count"] == len(read["pages"]) and read["next_pages"] is None, read
    assert any(page["text"].strip() for page in read["pages"]), read
    assert all(page["text"] in block.text for page, block in zip(read["pages"], result.content[1:])), result
    assert seen and seen[-1][1] == read["page_count"], seen

    page = (await client.call_tool("read_page", {**picture, "page": 1, "format": "text"})).structured_content
    assert page["text"].strip() and page["next_start"] is None and 0 < page["confidence"] <= 1, page

    for arguments, code in [(unreadable, None), ({**document, "pages": "99"}, "page_out_of_range")]:
        failed = await client.call_tool("read_document", arguments)
        assert failed.is_error and failed.content[0].text.strip(), failed
        assert failed.structured_content is None and (code or "") in failed.content[0].text, failed
    try:
        await client.call_tool("delete_everything")
    except MCPError as error:
        assert "read_document" in str(error), error
    else:
        raise AssertionError("a tool that does not exist was called")
    return read


async def main():
    texts = []
    for mode in ["auto", "legacy"]:
        async with Client(over_stdio(), mode=mode) as client:
            read = await use(client, {"path": pdf.name}, {"path": str(png)}, {"path": "../../Cargo.toml"})
            texts.append([page["text"] for page in read["pages"]])
        async with Client(f"{server}/mcp", mode=mode) as client:
            not_a_document = {"content": base64.b64encode(b"hello").decode()}
            read = await use(client, content(pdf), content(png), not_a_document)
            texts.append([page["text"] for page in read["pages"]])
    assert all(text == texts[0] for text in texts), texts
    print(f"{len(texts[0])} pages in {len(texts)} ways: {texts[0][0][:40]!r}")


asyncio.run(main())
