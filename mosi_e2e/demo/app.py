"""The page: what stands where, and what happens when.

Gradio gives the fields for upload and recording, and carries messages; what a result looks like is ours
(`templates/demo_*`), so that player and curve can be linked and the downloads need no file on the server.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mosi_e2e.demo.limits import SAY_NOTHING, Limits, say_too_large
from mosi_e2e.demo.scoring import RequestState, ScoringProcess
from mosi_e2e.demo.uploads import KEEP_S, Upload, Uploads
from mosi_e2e.demo.view import describe_result, format_time
from mosi_e2e.demo.worker import Answer
from mosi_e2e.pages.fill import open_templates, render
from preprocessing.errors import UserError

TITLE = "Sentiment of a speaking person"
LEAD = (
    "Upload or record a video of one person who speaks to the camera. The model looks at the face and "
    "listens to the speech, and gives a score from −3 (negative) to +3 (positive)."
)
KEEP_COPY = "async (clip) => { await window.mosiDemo.keep(clip); return [clip]; }"
SYSTEM_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
# What a browser records: enough for a face, and small. They ask cameras for their most otherwise.
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}, "frameRate": {"ideal": 25}}}
PLAIN = {"apply_default_css": False, "padding": False}  # what is inside brings its own style
Updates = dict[Any, Any]


@dataclass(frozen=True)
class Fields:
    """The parts of the page that change."""

    ask: gr.Column  # everything that asks for a video
    clip: gr.Video
    start: gr.Button
    stop: gr.Button
    again: gr.Button
    status: gr.HTML
    result: gr.HTML

    def show(self, stage: str, status: str = "", result: str | None = None) -> Updates:
        """The page in one of its stages: `asking`, `working` or `done`."""
        changes: Updates = {
            self.ask: gr.update(visible=stage == "asking"),
            self.stop: gr.update(visible=stage == "working"),
            self.again: gr.update(visible=stage == "done"),
            self.status: gr.update(value=status, visible=bool(status)),
        }
        if stage != "working":  # what was uploaded is gone
            changes |= {self.clip: None, self.start: gr.update(interactive=False)}
        if result is not None:
            changes[self.result] = gr.update(value=result, visible=bool(result))
        return changes


class Messages(gr.Blocks):
    """Blocks that hand on what a browser sent as it is.

    Gradio would open, copy or download what a message names as a file, before the page's function is called.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Check the inputs and hand them on unopened."""
        self.validate_inputs(block_fn, inputs)
        return inputs[: len(block_fn.inputs)]


class Page:
    """What happens on the page.

    Args:
        scorer: the model.
        uploads: where files lie.
        limits: what one request may cost.
        about: what `ScoringProcess.open` said of the model.
    """

    def __init__(self, scorer: ScoringProcess, uploads: Uploads, limits: Limits, about: dict[str, Any]):
        self.scorer, self.uploads, self.limits, self.about = scorer, uploads, limits, about

    def build(self) -> gr.Blocks:
        """Lay the page out."""
        with Messages(title=TITLE, analytics_enabled=False) as blocks:
            intro = {"title": TITLE, "lead": LEAD, "synthetic": self.about["synthetic"]}
            gr.HTML(render("demo_intro.html", intro), **PLAIN)
            with gr.Column(elem_id="ask") as ask:
                clip = gr.Video(
                    sources=["upload", "webcam"],
                    label="Video",
                    show_label=False,
                    elem_id="clip",
                    height="min(22rem, 60vh)",
                    include_audio=True,
                    webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),
                )
                limits = {"text": self.limits.say(), "max_bytes": self.limits.max_bytes}
                gr.HTML(
                    render("demo_limits.html", limits | {"too_large": say_too_large(self.limits)}), **PLAIN
                )
                start = gr.Button("Score this video", variant="primary", elem_id="start", interactive=False)
            status = gr.HTML(visible=False, elem_id="status", **PLAIN)
            stop = gr.Button("Stop", visible=False, elem_id="stop")
            again = gr.Button("Score another video", visible=False, elem_id="again")
            result = gr.HTML(visible=False, elem_id="result", **PLAIN)
            gr.HTML(render("demo_notes.html", {"keep_minutes": KEEP_S // 60}), **PLAIN)
            self.connect(blocks, Fields(ask, clip, start, stop, again, status, result))
        # A result comes in steps, and only the queue asks for all: a direct call would stop at the first.
        return blocks.queue(api_open=False)

    def connect(self, blocks: gr.Blocks, fields: Fields) -> None:
        """Say what happens when."""

        def choose(sent: Any, request: gr.Request) -> Updates:
            return self.choose(fields, sent, request.session_hash)

        async def score(sent: Any, request: gr.Request) -> AsyncIterator[Updates]:
            async with aclosing(self.score(fields, sent, request.session_hash)) as steps:
                async for step in steps:
                    yield step

        def leave(request: gr.Request) -> None:
            self.uploads.hold(request.session_hash, None)

        everything = list(vars(fields).values())
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        fields.clip.change(choose, fields.clip, [fields.start, fields.status], queue=False, **quiet)
        running = fields.start.click(
            score, fields.clip, everything, js=KEEP_COPY, concurrency_limit=None, **quiet
        )
        reset = lambda: fields.show("asking", result="")  # noqa: E731
        fields.stop.click(reset, None, everything, cancels=[running], queue=False, **quiet)
        fields.again.click(reset, None, everything, queue=False, **quiet)
        blocks.unload(leave)

    def find(self, sent: Any) -> Upload | None:
        """The upload that a message names, or None if it names none; whatever else it says is ignored.

        Raises:
            UserError: what it names is not here.
        """
        if sent is None:
            return None
        name = sent.get("path") if isinstance(sent, dict) else None
        return self.uploads.find(name if isinstance(name, str) else "")

    def choose(self, fields: Fields, sent: Any, visitor: str) -> Updates:
        """The field has another video in it, or none."""
        try:
            upload = self.find(sent)
        except UserError as error:
            return {fields.status: gr.update(value=render_error(str(error)), visible=True)}
        self.uploads.hold(visitor, upload)
        changes: Updates = {fields.start: gr.update(interactive=upload is not None)}
        if upload is not None:
            changes[fields.status] = gr.update(visible=False)
        return changes

    async def score(self, fields: Fields, sent: Any, visitor: str) -> AsyncIterator[Updates]:
        """One request, from the button to the result; whatever happens, the upload is gone afterwards."""
        try:
            if (upload := self.find(sent)) is None:
                raise UserError("Choose or record a video first.")
            with self.uploads.claim(visitor, upload) as video:
                yield fields.show("working", render_progress(RequestState(what="Starting")), result="")
                async with aclosing(self.scorer.score(video, upload.name)) as steps:
                    async for step in steps:
                        if isinstance(step, RequestState):
                            yield {fields.status: render_progress(step)}
                        else:
                            answer = check_answer(step)
            shown = describe_result(answer)
            yield fields.show("done", result=render("demo_result.html", shown))
        except UserError as error:
            yield fields.show("asking", render_error(str(error)), result="")


def check_answer(answer: Answer) -> Answer:
    """An answer with a score.

    Raises:
        UserError: there is none, since nothing was seen or heard.
    """
    if answer.result["score"] is None:
        raise UserError(SAY_NOTHING)
    return answer


def render_error(message: str) -> str:
    """The status line of an error."""
    return render("demo_status.html", {"error": message})


def render_progress(step: RequestState) -> str:
    """A bar, and words beside it."""
    if step.ahead:
        what = "1 video is before yours" if step.ahead == 1 else f"{step.ahead} videos are before yours"
        return render("demo_status.html", {"error": "", "what": "Waiting", "detail": what, "percent": None})
    what = f"{step.what[:1].upper()}{step.what[1:]}"
    detail = f"{100 * step.share:.0f} %, {format_time(int(step.seconds))} so far"
    percent = round(100 * step.share, 1) or None  # none: a bar that moves without a figure
    return render("demo_status.html", {"error": "", "what": what, "detail": detail, "percent": percent})


def make_head() -> str:
    """Style and behaviour, inside the page."""
    loader = open_templates().loader
    style, script = (loader.get_source(open_templates(), f"demo.{kind}")[0] for kind in ("css", "js"))
    return f"<style>\n{style}</style>\n<script>\n{script}</script>"


def make_theme() -> gr.themes.Base:
    """The fonts of the reader's own system: Gradio's default ones would come from elsewhere."""
    return gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]
    )
