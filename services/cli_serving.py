"""The command that serves the model to other processes: `serve-model`."""

from typing import Annotated

import typer

from services.console import Json, print_json, reported, tools_of

DEFAULT_PORT = 30_000


def register(app: typer.Typer) -> None:
    app.command()(serve_model)


def serve_model(
    context: typer.Context,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- OPTIONS", help="Options of SGLang's own, such as --tp-size 2."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen. Others get in by 0.0.0.0.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")] = DEFAULT_PORT,
    as_json: Json = False,
) -> None:
    """Serve the model with SGLang; stop with SIGTERM or Ctrl-C.

    Whoever asks names clips; the server reads their stored tokens by itself, from LONGWATCH_DATA or
    LONGWATCH_TOKENS_URL. It computes where LONGWATCH_DEVICE says.
    """
    from services.on_sglang.serving import serve

    tools = tools_of(context)

    def tell(url: str, model_id: str) -> None:
        if as_json:
            print_json({"url": url, "model": model_id})
        else:
            tools.out.print(f"serving {model_id} at {url}", highlight=False, soft_wrap=True)

    with reported(tools, as_json=as_json, logs=True):
        serve(tools.settings, host=host, port=port, options=options or (), on_ready=tell)
