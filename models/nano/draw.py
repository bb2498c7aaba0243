"""Draw the small world: a script and an instant become a picture, at any size.

Also paints a class map, one small integer a pixel saying what is seen there, which the vision tower
is pretrained on. Coordinates: x in shares of the width; heights and y in shares of the height.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.nano.sprites import DARK, METAL, sprite
from models.nano.world import COLOURS, KINDS, PLACES_X, Passage, Script, Switching, Visit

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
ClassMap = NDArray[np.uint8]  # (H, W)

SKY_RGB, WALL_RGB, YARD_RGB, STREET_RGB = (
    (164, 184, 200),
    (148, 136, 128),
    (122, 116, 102),
    (72, 72, 76),
)
SLAT_RGB, OPENING_RGB, GLOW_RGB, OFF_RGB = (
    (84, 52, 34),
    (196, 200, 190),
    (255, 236, 150),
    (60, 60, 62),
)

CLASS_BACKGROUND = 0
CLASS_BOX = 1 + len(KINDS) * len(COLOURS)
CLASS_GATE_CLOSED, CLASS_GATE_OPEN = CLASS_BOX + 1, CLASS_BOX + 2
CLASS_LAMP_OFF, CLASS_LAMP_ON = CLASS_BOX + 3, CLASS_BOX + 4
NUM_CLASSES = CLASS_LAMP_ON + 1

GATE_X, GATE_Y = (0.06, 0.22), (0.16, 0.46)
LAMP_X, LAMP_Y, LAMP_R = 0.885, 0.20, 0.06
YARD_Y, STREET_Y, SKY_Y = 0.735, 0.985, 0.135  # where feet (or, in the sky, middles) are
SIZE_OF = {  # width and height, both in shares of the picture's height
    "person": (0.17, 0.29),
    "dog": (0.27, 0.17),
    "robot": (0.21, 0.27),
    "car": (0.42, 0.19),
    "truck": (0.52, 0.25),
    "ball": (0.17, 0.17),
    "drone": (0.28, 0.13),
    "tram": (0.80, 0.28),
    "fire": (0.32, 0.38),
}
BOX_SIZE = 0.095
JUMP_HEIGHT = 0.12
FLICKER_S = 0.2


def class_of(kind: str, colour: str) -> int:
    """Class-map value of a subject."""
    return 1 + KINDS.index(kind) * len(COLOURS) + COLOURS.index(colour)


@dataclass(frozen=True, slots=True)
class Placed:
    """A sprite at a place: middle x (share of width), bottom y (share of height)."""

    kind: str
    colour: str
    x: float
    bottom_y: float
    rightwards: bool


def _share(span_s: tuple[float, float], now_s: float) -> float:
    return min(1.0, max(0.0, (now_s - span_s[0]) / (span_s[1] - span_s[0])))


def _outside_x(kind: str, aspect: float, right: bool) -> float:
    half = SIZE_OF[kind][0] / aspect / 2
    return 1 + half if right else -half


def placed_visit(visit: Visit, now_s: float, aspect: float) -> Iterator[Placed]:
    if not visit.enter_s[0] <= now_s < visit.leave_s[1]:
        return
    right_side = visit.place == 1
    gone_x = _outside_x(visit.kind, aspect, right_side)
    leaving = now_s >= visit.leave_s[0]
    inside = 1 - _share(visit.leave_s, now_s) if leaving else _share(visit.enter_s, now_s)
    x = gone_x + (visit.place_x - gone_x) * inside
    lift = 0.0
    for jump_s in visit.jumps_s:
        share = _share(jump_s, now_s)
        if 0 < share < 1:
            lift = JUMP_HEIGHT * min(1.0, 4 * share, 4 * (1 - share))
    yield Placed(visit.kind, visit.colour, x, YARD_Y - lift, rightwards=right_side == leaving)
    if visit.put_down_s and now_s < visit.put_down_s[1]:
        lowered = _share(visit.put_down_s, now_s)
    elif visit.pick_up_s and now_s >= visit.pick_up_s[0]:
        lowered = 1 - _share(visit.pick_up_s, now_s)
    else:
        return
    in_hand_y = YARD_Y - 0.55 * SIZE_OF[visit.kind][1] - lift
    reach = SIZE_OF[visit.kind][0] / aspect / 2 + BOX_SIZE / aspect / 2
    box_x = x + (-reach if right_side else reach)
    lying_x = _box_lies_x(visit.place, aspect)
    yield Placed(
        "box",
        "",
        box_x + (lying_x - box_x) * lowered,
        in_hand_y + (YARD_Y - in_hand_y) * lowered,
        rightwards=True,
    )


def _box_lies_x(place: int, aspect: float) -> float:
    inwards = 1 if place == 0 else -1
    return PLACES_X[place] + inwards * (0.19 / aspect)


def placed_passage(passage: Passage, now_s: float, aspect: float) -> Iterator[Placed]:
    if not passage.span_s[0] <= now_s < passage.span_s[1]:
        return
    if passage.stays_at_x is not None:
        flickers = int(now_s / FLICKER_S) % 2 == 0
        yield Placed(passage.kind, "", passage.stays_at_x, STREET_Y, flickers)
    else:
        from_x = _outside_x(passage.kind, aspect, not passage.rightwards)
        to_x = _outside_x(passage.kind, aspect, passage.rightwards)
        x = from_x + (to_x - from_x) * _share(passage.span_s, now_s)
        height = SIZE_OF[passage.kind][1]
        bottom = STREET_Y if passage.lane == "street" else SKY_Y + height / 2
        yield Placed(passage.kind, passage.colour, x, bottom, passage.rightwards)


def _level(switchings: tuple[Switching, ...], now_s: float) -> float:
    """How far on (1) or off (0) something is."""
    level = 0.0 if not switchings or switchings[0].on else 1.0
    for switching in switchings:
        if switching.span_s[0] > now_s:
            break
        share = _share(switching.span_s, now_s)
        level = share if switching.on else 1 - share
    return level


class Painter:
    """Paints one script at one size."""

    def __init__(self, script: Script, *, width_px: int, height_px: int) -> None:
        self.script = script
        self.width_px, self.height_px = width_px, height_px
        self._aspect = width_px / height_px
        self._rng = np.random.default_rng(script.seed + 7)
        self._ground = self._paint_ground()
        noise = self._rng.normal(0, 1, (height_px + 64, width_px + 64, 1)).astype(np.float32)
        self._noise = np.round(noise * script.noise_level).astype(np.int16)
        self._live_from = 0
        self._tracks = sorted(
            [
                *((v.enter_s[0], v.leave_s[1], v, placed_visit) for v in script.visits),
                *((p.span_s[0], p.span_s[1], p, placed_passage) for p in script.passages),
            ],
            key=lambda track: track[0],
        )
        self._box_lies = self._when_the_box_lies()

    def picture(self, now_s: float) -> Picture:
        """Paint the instant, with the script's noise, shake and light."""
        return self.picture_and_classes(now_s, with_classes=False)[0]

    def picture_and_classes(
        self, now_s: float, *, with_classes: bool = True
    ) -> tuple[Picture, ClassMap | None]:
        """Paint the instant, and say what each pixel shows."""
        canvas = self._ground.copy()
        classes = np.zeros(canvas.shape[:2], np.uint8) if with_classes else None
        lamp = _level(self.script.lamp, now_s)
        self._paint_gate(canvas, classes, _level(self.script.gate, now_s))
        self._paint_lamp(canvas, classes, lamp)
        for placed in self._everyone(now_s):
            self._paint(canvas, classes, placed)
        return self._expose(canvas, now_s, lamp), classes

    def _everyone(self, now_s: float) -> Iterator[Placed]:
        for from_s, until_s, place in self._box_lies:
            if from_s <= now_s < until_s:
                yield Placed("box", "", _box_lies_x(place, self._aspect), YARD_Y, rightwards=True)
        for from_s, until_s, track, placed in self._tracks:
            if from_s > now_s:
                break
            if now_s < until_s:
                yield from placed(track, now_s, self._aspect)  # type: ignore[arg-type]

    def _when_the_box_lies(self) -> list[tuple[float, float, int]]:
        lies: list[tuple[float, float, int]] = []
        moments = sorted(
            [(v.put_down_s[1], "down", v.place) for v in self.script.visits if v.put_down_s]
            + [(v.pick_up_s[0], "up", v.place) for v in self.script.visits if v.pick_up_s]
        )
        since: tuple[float, int] | None = None
        for at_s, what, place in moments:
            if what == "down":
                since = (at_s, place)
            elif since:
                lies.append((since[0], at_s, since[1]))
                since = None
        return [*lies, (since[0], math.inf, since[1])] if since else lies

    def _paint_ground(self) -> NDArray[np.float32]:
        H, W = self.height_px, self.width_px
        ground = np.empty((H, W, 3), np.float32)
        for top, bottom, rgb in (
            (0.0, 0.26, SKY_RGB),
            (0.26, 0.50, WALL_RGB),
            (0.50, 0.76, YARD_RGB),
            (0.76, 1.0, STREET_RGB),
        ):
            ground[round(top * H) : round(bottom * H)] = rgb
        tint = np.random.default_rng(self.script.seed).normal(0, 7, (4, 3))
        for band, top in enumerate((0.0, 0.26, 0.50, 0.76)):
            bottom = (0.26, 0.50, 0.76, 1.0)[band]
            ground[round(top * H) : round(bottom * H)] += tint[band].astype(np.float32)
        x = np.arange(W)
        ground[round(0.76 * H) : round(0.775 * H)] += 50.0
        ground[round(0.26 * H) : round(0.50 * H), (x * 24 // W) % 2 == 0] -= 6.0
        return ground

    def _area(self, x: tuple[float, float], y: tuple[float, float]) -> tuple[slice, slice]:
        return (
            slice(round(y[0] * self.height_px), round(y[1] * self.height_px)),
            slice(round(x[0] * self.width_px), round(x[1] * self.width_px)),
        )

    def _paint_gate(
        self, canvas: NDArray[np.float32], classes: ClassMap | None, openness: float
    ) -> None:
        """The gate rolls up: what is below its edge is open."""
        canvas[
            self._area((GATE_X[0] - 0.012, GATE_X[1] + 0.012), (GATE_Y[0] - 0.02, GATE_Y[1]))
        ] = METAL
        edge_y = GATE_Y[1] - (GATE_Y[1] - GATE_Y[0]) * 0.92 * openness
        slats, opening = (
            self._area(GATE_X, (GATE_Y[0], edge_y)),
            self._area(GATE_X, (edge_y, GATE_Y[1])),
        )
        canvas[slats], canvas[opening] = SLAT_RGB, OPENING_RGB
        canvas[slats][:: max(2, self.height_px // 45)] += 24.0
        if classes is not None:
            classes[slats], classes[opening] = CLASS_GATE_CLOSED, CLASS_GATE_OPEN

    def _paint_lamp(
        self, canvas: NDArray[np.float32], classes: ClassMap | None, level: float
    ) -> None:
        canvas[self._area((LAMP_X - 0.006, LAMP_X + 0.006), (LAMP_Y, 0.52))] = DARK
        reach = LAMP_R * (1.0 + 0.5 * level)
        rows, columns = self._area(
            (LAMP_X - reach / self._aspect, LAMP_X + reach / self._aspect),
            (LAMP_Y - reach, LAMP_Y + reach),
        )
        canvas_part = canvas[rows, columns]
        H, W = canvas_part.shape[:2]
        y, x = np.ogrid[0:H, 0:W]
        far = np.hypot((x + 0.5) / W * 2 - 1, (y + 0.5) / H * 2 - 1)
        cover = np.clip((1.0 - far) * 4, 0, 1)[..., None].astype(np.float32)
        rgb = np.array(OFF_RGB, np.float32) * (1 - level) + np.array(GLOW_RGB, np.float32) * level
        canvas_part *= 1 - cover
        canvas_part += cover * rgb
        if classes is not None:
            classes[rows, columns][far < 1] = CLASS_LAMP_ON if level > 0.5 else CLASS_LAMP_OFF

    def _paint(self, canvas: NDArray[np.float32], classes: ClassMap | None, placed: Placed) -> None:
        width, height = SIZE_OF.get(placed.kind, (BOX_SIZE, BOX_SIZE))
        width_px, height_px = round(width * self.height_px), round(height * self.height_px)
        left = round(placed.x * self.width_px - width_px / 2)
        top = round(placed.bottom_y * self.height_px) - height_px
        x0, x1 = max(0, left), min(self.width_px, left + width_px)
        y0, y1 = max(0, top), min(self.height_px, top + height_px)
        if x0 >= x1 or y0 >= y1:
            return
        drawn = sprite(placed.kind, placed.colour, width_px, height_px, placed.rightwards)
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        cover = drawn.cover_HW1[part]
        target = canvas[y0:y1, x0:x1]
        target *= 1 - cover
        target += drawn.rgb_HWC[part]
        if classes is not None:
            here = CLASS_BOX if placed.kind == "box" else class_of(placed.kind, placed.colour)
            classes[y0:y1, x0:x1][cover[..., 0] > 0.5] = here

    def _expose(self, canvas: NDArray[np.float32], now_s: float, lamp: float) -> Picture:
        """Sun, drifting light, lamp light at night, shake and sensor noise."""
        script = self.script
        sun = 0.5 + 0.5 * math.tanh(
            3 * math.sin(2 * math.pi * (now_s + script.dawn_s) / script.day_s)
        )
        drift = 1 + 0.08 * math.sin(now_s / 37 + script.seed) + 0.04 * math.sin(now_s / 11)
        light = np.array((0.40, 0.42, 0.52), np.float32)
        light = (light + (1 - light) * sun + 0.10 * lamp * (1 - sun)) * drift
        exposed = canvas * light.astype(np.float32)
        dy, dx = self._rng.integers(0, 64, 2)
        exposed += self._noise[dy : dy + self.height_px, dx : dx + self.width_px]
        if script.shake_px:
            reach = script.shake_px * self.width_px / 640
            shift_y, shift_x = np.round(self._rng.uniform(-reach, reach, 2)).astype(int)
            exposed = np.roll(exposed, (shift_y, shift_x), (0, 1))
        return np.clip(exposed, 0, 255).astype(np.uint8)
