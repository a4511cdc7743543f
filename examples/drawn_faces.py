"""Portraits of people who do not exist: reference pictures that anybody may pass on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from drawn_scenes import SCENES
from painting import BLACK, WHITE, Canvas, Colour, Point, at, curve, mirrored, mix, rgb, smooth
from PIL import Image, ImageChops, ImageFilter


@dataclass(frozen=True, kw_only=True)
class Person:
    """What tells one drawn person from another."""

    name: str
    skin: Colour
    hair: Colour
    hair_style: str
    clothes: Colour
    clothes_style: str
    iris: Colour
    scene: str
    lips: Colour
    brow_width: float = 0.045
    face_width: float = 1.0
    jaw: float = 0.30
    """How wide the chin is: 0.2 pointed, 0.36 square."""
    lashes: bool = False
    glasses: str = ""
    beard: str = ""
    age_lines: bool = False
    jewels: str = ""


def face_outline(person: Person) -> list[Point]:
    w, j = 0.5 * person.face_width, person.jaw
    half = [(0.0, -0.66), (0.26 * w / 0.5, -0.6), (0.44 * w / 0.5, -0.38), (w, -0.05), (0.96 * w, 0.2)]
    half += [(0.82 * w, 0.42), (j * 0.98, 0.59), (j * 0.5, 0.675), (0.0, 0.69)]
    return smooth(mirrored(half))


def body_outline(person: Person) -> list[Point]:
    collar = 0.86 if person.clothes_style in {"turtleneck", "hoodie", "scarf"} else 1.0
    half = [(0.0, collar + 0.22), (0.2, collar + 0.12), (0.33, collar)]
    return smooth(mirrored([*half, *at("0.62,1.1 0.98,1.28 1.16,1.7 1.24,2.4 1.26,3.4 0.0,3.4")]))


def draw_body(canvas: Canvas, person: Person) -> None:
    cloth, dark = person.clothes, mix(person.clothes, BLACK, 0.25)
    skin_shade = mix(person.skin, rgb("#5a2a1a"), 0.28)
    neck = at("0.2,0.45 0.19,0.8 0.27,0.95 0.45,1.03 0.3,1.35 0.0,1.42")
    canvas.paint(canvas.shape(smooth(mirrored(neck))), person.skin)
    neck_mask = canvas.shape(smooth(mirrored(neck)))
    canvas.paint(canvas.oval(0.0, 0.58, 0.42, 0.26), skin_shade, opacity=0.75, blur=0.05, inside=neck_mask)
    body = canvas.shape(body_outline(person))
    canvas.paint(body, cloth)
    for side in (-1, 1):
        fold = at("0.8,1.75 0.86,2.2 0.84,3.2", side)
        canvas.paint(canvas.stroke(curve(fold), 0.05), dark, opacity=0.6, blur=0.02, inside=body)
    shade = canvas.shape(at("0.35,0.8 1.4,0.8 1.4,3.4 0.6,3.4"))
    canvas.paint(shade, dark, opacity=0.28, blur=0.16, inside=body)
    CLOTHES[person.clothes_style](canvas, person)


def sweater(canvas: Canvas, person: Person) -> None:
    body = canvas.shape(body_outline(person))
    rib = curve(at("-0.36,1.03 -0.18,1.2 0.0,1.25 0.18,1.2 0.36,1.03"))
    canvas.paint(canvas.stroke(rib, 0.1), mix(person.clothes, BLACK, 0.18))
    for k in range(-6, 7):
        knit = [(k * 0.19, 1.3 + 0.02 * abs(k)), (k * 0.2, 2.5)]
        canvas.paint(canvas.stroke(knit, 0.014), mix(person.clothes, BLACK, 0.2), opacity=0.45, inside=body)


def shirt(canvas: Canvas, person: Person) -> None:
    body = canvas.shape(body_outline(person))
    for k in range(-7, 8):
        for colour, points in (
            (mix(person.clothes, WHITE, 0.35), [(k * 0.2, 0.9), (k * 0.2, 2.6)]),
            (mix(person.clothes, BLACK, 0.35), [(-1.4, 1.9 + k * 0.2), (1.4, 1.9 + k * 0.2)]),
        ):
            canvas.paint(canvas.stroke(points, 0.035), colour, opacity=0.4, inside=body)
    for side in (-1, 1):
        wing = at("0.3,0.93 0.02,1.27 0.3,1.42 0.44,1.06", side)
        canvas.paint(canvas.shape(wing), mix(person.clothes, WHITE, 0.16))
        canvas.paint(canvas.stroke([*wing, wing[0]], 0.014), mix(person.clothes, BLACK, 0.4), opacity=0.7)
    canvas.paint(canvas.stroke([(0, 1.3), (0, 2.5)], 0.012), mix(person.clothes, BLACK, 0.5))
    for y in (1.48, 1.78):
        canvas.paint(canvas.oval(0.045, y, 0.025, 0.025), WHITE, opacity=0.85)


def blazer(canvas: Canvas, person: Person) -> None:
    canvas.paint(canvas.shape(at("-0.34,1.02 0.34,1.02 0.06,2.1 -0.06,2.1")), rgb("#fff6ea"))
    canvas.paint(canvas.shape(smooth(at("-0.24,0.94 0.24,0.94 0.13,1.2 0.0,1.3 -0.13,1.2"))), person.skin)
    for side in (-1, 1):
        lapel = at("0.38,0.98 0.6,1.42 0.42,1.48 0.46,1.6 0.04,2.25", side)
        lapel += at("0.2,1.45", side)
        canvas.paint(canvas.shape(lapel), mix(person.clothes, BLACK, 0.1))
        canvas.paint(canvas.stroke([*lapel, lapel[0]], 0.014), mix(person.clothes, BLACK, 0.35), opacity=0.7)


def hoodie(canvas: Canvas, person: Person) -> None:
    outer = at("0,1.5 0.36,1.42 0.6,1.16 0.56,0.94 0.4,0.84")
    inner = at("0.32,0.9 0.34,1.04 0.2,1.22 0,1.27")
    hood = smooth([*outer, *inner, *((-x, y) for x, y in [*reversed(inner[:-1]), *reversed(outer[1:])])])
    canvas.paint(canvas.shape(hood), mix(person.clothes, WHITE, 0.12))
    canvas.paint(canvas.stroke([*hood, hood[0]], 0.016), mix(person.clothes, BLACK, 0.3), opacity=0.7)
    for side in (-1, 1):
        cord = curve(at("0.16,1.44 0.18,1.64 0.16,1.84", side))
        canvas.paint(canvas.stroke(cord, 0.03), rgb("#f3f0e8"))


def turtleneck(canvas: Canvas, person: Person) -> None:
    collar = smooth(mirrored(at("0.0,0.74 0.22,0.7 0.26,0.86 0.3,1.1 0.0,1.16")))
    mask = canvas.shape(collar)
    canvas.paint(mask, mix(person.clothes, WHITE, 0.08))
    for k in range(-5, 6):
        rib = canvas.stroke([(k * 0.05, 0.7), (k * 0.055, 1.14)], 0.012)
        canvas.paint(rib, mix(person.clothes, BLACK, 0.4), opacity=0.6, inside=mask)


def cardigan(canvas: Canvas, person: Person) -> None:
    blouse = smooth(at("-0.36,1.04 0.36,1.04 0.16,1.9 0.0,2.5 -0.16,1.9"))
    canvas.paint(canvas.shape(blouse), rgb("#fdf7ee"))
    canvas.paint(canvas.shape(smooth(at("-0.3,0.9 0.3,0.9 0.16,1.16 0,1.24 -0.16,1.16"))), person.skin)
    for side in (-1, 1):
        edge = curve(at("0.37,1.0 0.27,1.5 0.06,2.4", side))
        canvas.paint(canvas.stroke(edge, 0.07), mix(person.clothes, BLACK, 0.22))


def scarf(canvas: Canvas, person: Person) -> None:
    wrap = smooth(mirrored(at("0.0,0.72 0.34,0.62 0.52,0.82 0.66,1.12 0.42,1.36 0.0,1.46")))
    mask = canvas.shape(wrap)
    canvas.paint(mask, person.hair)
    for k in range(4):
        fold = curve([(-0.6, 0.86 + 0.13 * k), (0.0, 1.02 + 0.15 * k), (0.6, 0.8 + 0.14 * k)])
        canvas.paint(canvas.stroke(fold, 0.035), mix(person.hair, BLACK, 0.35), opacity=0.45, blur=0.012, inside=mask)


CLOTHES: dict[str, Callable[[Canvas, Person], None]] = {
    "sweater": sweater,
    "shirt": shirt,
    "blazer": blazer,
    "hoodie": hoodie,
    "turtleneck": turtleneck,
    "cardigan": cardigan,
    "scarf": scarf,
}


def circle(x: float, y: float, rx: float, ry: float) -> list[Point]:
    turns = (k / 20 * math.pi for k in range(41))
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


def draw_face(canvas: Canvas, person: Person) -> Image.Image:
    """Ears, head and its light and shadow; answers the head's mask."""
    deep = mix(person.skin, rgb("#4a1f14"), 0.32)
    if person.hair_style != "hijab":
        for side in (-1, 1):
            ear = canvas.oval(side * 0.5 * person.face_width, 0.02, 0.085, 0.145)
            canvas.paint(ear, mix(person.skin, deep, 0.25))
            canvas.paint(
                canvas.oval(side * 0.505 * person.face_width, 0.03, 0.045, 0.085), deep, opacity=0.45, blur=0.012
            )
    head = canvas.shape(face_outline(person))
    canvas.paint(head, person.skin)
    canvas.paint(canvas.oval(0.72, 0.1, 0.45, 0.95), deep, opacity=0.5, blur=0.12, inside=head)
    canvas.paint(canvas.oval(0.0, 0.86, 0.42, 0.25), deep, opacity=0.4, blur=0.08, inside=head)
    canvas.paint(
        canvas.oval(-0.16, -0.36, 0.24, 0.17), mix(person.skin, WHITE, 0.5), opacity=0.4, blur=0.09, inside=head
    )
    for side in (-1, 1):
        flush = mix(person.skin, rgb("#e2503f"), 0.5)
        canvas.paint(canvas.oval(side * 0.29, 0.2, 0.13, 0.1), flush, opacity=0.36, blur=0.06, inside=head)
        canvas.paint(canvas.oval(side * 0.2, -0.06, 0.13, 0.085), deep, opacity=0.3, blur=0.04, inside=head)
    return head


def draw_eyes(canvas: Canvas, person: Person) -> None:
    line = mix(person.skin, rgb("#1d0d08"), 0.82)
    for side in (-1, 1):
        x, y = side * 0.2, -0.045
        almond = smooth(at("-0.105,0.012 -0.05,-0.05 0.05,-0.05 0.105,0.012 0,0.055", x=x, y=y))
        white = canvas.shape(almond)
        canvas.paint(white, rgb("#fbf8f3"))
        canvas.paint(canvas.oval(x, y, 0.056, 0.056), mix(person.iris, BLACK, 0.35), inside=white)
        canvas.paint(canvas.oval(x, y + 0.006, 0.046, 0.046), person.iris, inside=white)
        canvas.paint(canvas.oval(x, y, 0.024, 0.024), rgb("#120b0a"), inside=white)
        canvas.paint(canvas.oval(x, y - 0.07, 0.12, 0.04), BLACK, opacity=0.25, blur=0.015, inside=white)
        canvas.paint(canvas.oval(x - 0.018, y - 0.02, 0.014, 0.014), WHITE)
        lid = curve(at("-0.112,0.014 -0.05,-0.052 0.05,-0.052 0.112,0.014", x=x, y=y))
        canvas.paint(canvas.stroke(lid, 0.026 if person.lashes else 0.018), line)
        if person.lashes:
            wing = curve(at("0.085,-0.02 0.125,-0.03 0.15,-0.06", side, x=x, y=y))
            canvas.paint(canvas.stroke(wing, 0.018), line)
        crease = curve(at("-0.1,-0.035 0,-0.092 0.1,-0.035", x=x, y=y))
        canvas.paint(canvas.stroke(crease, 0.01), line, opacity=0.35)
        brow = curve(at("-0.11,-0.158 0.03,-0.182 0.15,-0.128", side, x=x, y=y))
        brow_colour = rgb("#2b1a14") if person.hair_style in {"hijab", "bald"} else mix(person.hair, BLACK, 0.25)
        canvas.paint(canvas.stroke(brow, person.brow_width), brow_colour, opacity=0.92, blur=0.004)
        if person.age_lines:
            for k in range(2):
                crow = [(x + side * 0.155, y + 0.0 + 0.035 * k), (x + side * 0.21, y - 0.015 + 0.06 * k)]
                canvas.paint(canvas.stroke(crow, 0.008), line, opacity=0.3)


def draw_nose_and_mouth(canvas: Canvas, person: Person) -> None:
    deep = mix(person.skin, rgb("#4a1f14"), 0.42)
    bridge = curve(at("0.045,-0.02 0.05,0.1 0.085,0.19 0.04,0.225"))
    canvas.paint(canvas.stroke(bridge, 0.016), deep, opacity=0.55, blur=0.004)
    canvas.paint(canvas.oval(-0.012, 0.165, 0.035, 0.04), mix(person.skin, WHITE, 0.6), opacity=0.4, blur=0.02)
    for side in (-1, 1):
        canvas.paint(canvas.oval(side * 0.042, 0.222, 0.02, 0.011), mix(deep, BLACK, 0.35), opacity=0.8, blur=0.004)
    mouth = smooth(at("-0.165,0.372 -0.06,0.362 0.0,0.37 0.06,0.362 0.165,0.372 0.08,0.452 0.0,0.47 -0.08,0.452"))
    hole = canvas.shape(mouth)
    canvas.paint(hole, rgb("#5b1b1e"))
    canvas.paint(
        canvas.shape(smooth(at("-0.13,0.36 0.13,0.36 0.1,0.408 0.0,0.418 -0.1,0.408"))), rgb("#fffdf8"), inside=hole
    )
    canvas.paint(canvas.oval(0.0, 0.478, 0.075, 0.034), rgb("#c8605e"), inside=hole)
    upper = curve(at("-0.168,0.372 -0.06,0.35 0.0,0.362 0.06,0.35 0.168,0.372"))
    lower = curve(at("-0.15,0.39 -0.08,0.458 0.0,0.478 0.08,0.458 0.15,0.39"))
    canvas.paint(canvas.stroke(upper, 0.026), person.lips)
    canvas.paint(canvas.stroke(lower, 0.036), person.lips)
    canvas.paint(canvas.stroke([(-0.03, 0.474), (0.03, 0.474)], 0.012), WHITE, opacity=0.35, blur=0.006)
    for side in (-1, 1):
        corner = curve(at("0.19,0.345 0.2,0.37 0.185,0.4", side))
        canvas.paint(canvas.stroke(corner, 0.01), deep, opacity=0.5)
        if person.age_lines:
            fold = curve(at("0.12,0.22 0.21,0.31 0.23,0.42", side))
            canvas.paint(canvas.stroke(fold, 0.012), deep, opacity=0.45, blur=0.004)


def draw_beard(canvas: Canvas, person: Person, head: Image.Image) -> None:
    if not person.beard:
        return
    w = 0.5 * person.face_width
    colour = person.hair if person.hair_style != "bald" else rgb("#1f1714")
    if person.beard == "full":
        outer = [(w + 0.02, -0.02), (w + 0.03, 0.25), (0.45, 0.52), (0.3, 0.74), (0.12, 0.82), (0.0, 0.83)]
        inner = [(0.0, 0.26), (0.1, 0.275), (0.23, 0.33), (0.34, 0.27), (0.41, 0.1), (w - 0.02, -0.02)]
        half = [*inner, *outer]
        mask = canvas.shape(smooth(mirrored(half)))
        canvas.paint(mask, colour)
        for k in range(-9, 10):
            hair = curve([(k * 0.045, 0.52), (k * 0.042, 0.64), (k * 0.034, 0.8 - 0.012 * abs(k))])
            canvas.paint(canvas.stroke(hair, 0.011), mix(colour, BLACK, 0.4), opacity=0.4, inside=mask)
        canvas.paint(canvas.oval(-0.22, 0.5, 0.09, 0.14), mix(colour, WHITE, 0.4), opacity=0.3, blur=0.05, inside=mask)
    else:
        stubble = smooth(
            mirrored([(0.0, 0.265), (0.16, 0.29), (0.3, 0.3), (w, 0.05), (w + 0.05, 0.4), (0.2, 0.8), (0.0, 0.8)])
        )
        canvas.paint(canvas.shape(stubble), colour, opacity=0.3, blur=0.05, inside=head)


def draw_glasses(canvas: Canvas, person: Person) -> None:
    if not person.glasses:
        return
    frame = rgb("#2a2320") if person.glasses == "square" else rgb("#8a4b22")
    for side in (-1, 1):
        x, y = side * 0.21, -0.035
        if person.glasses == "round":
            ring = circle(x, y, 0.165, 0.165)
        else:
            corners = "-0.165,-0.1 0,-0.115 0.165,-0.1 0.155,0.085 0,0.115 -0.155,0.085"
            ring = smooth(at(corners, x=x, y=y))
            ring.append(ring[0])
        canvas.paint(canvas.shape(ring), rgb("#dff1ff"), opacity=0.14)
        canvas.paint(canvas.stroke(ring, 0.032), frame)
        canvas.paint(
            canvas.stroke([(x - 0.09, y - 0.05), (x - 0.03, y - 0.085)], 0.018), WHITE, opacity=0.65, blur=0.003
        )
        canvas.paint(canvas.stroke(at("0.375,-0.06 0.5,-0.08", side), 0.028), frame)
    canvas.paint(canvas.stroke(curve(at("-0.05,-0.06 0,-0.085 0.05,-0.06")), 0.028), frame)


# -- hair ----------------------------------------------------------------------------------------------------------


def hair_behind(canvas: Canvas, person: Person) -> None:
    shade = mix(person.hair, BLACK, 0.28)
    if person.hair_style == "curly":
        for k in range(30):
            a = math.pi * (0.94 + 1.12 * k / 29)
            canvas.paint(canvas.oval(0.56 * math.cos(a), -0.18 + 0.6 * math.sin(a), 0.22, 0.22), shade)
        for side in (-1, 1):
            for k in range(6):
                canvas.paint(canvas.oval(side * (0.56 + 0.05 * (k % 2)), -0.2 + 0.17 * k, 0.2, 0.19), shade)
    elif person.hair_style == "bob":
        half = at("0.0,-0.86 0.4,-0.78 0.63,-0.42 0.67,0.1 0.68,0.52 0.5,0.68 0.3,0.5 0.0,0.5")
        canvas.paint(canvas.shape(smooth(mirrored(half))), shade)
    elif person.hair_style == "bun":
        canvas.paint(canvas.oval(0.0, -0.86, 0.28, 0.25), person.hair)
        canvas.paint(canvas.oval(-0.07, -0.94, 0.12, 0.08), mix(person.hair, WHITE, 0.35), opacity=0.35, blur=0.05)
        canvas.paint(canvas.oval(0.0, -0.22, 0.54, 0.58), shade)
    elif person.hair_style == "long":
        half = at("0.0,-0.84 0.4,-0.74 0.6,-0.36 0.62,0.2 0.74,0.8 0.8,1.35 0.5,1.5 0.3,0.9 0.0,0.6")
        canvas.paint(canvas.shape(smooth(mirrored(half))), shade)
    elif person.hair_style == "hijab":
        half = at("0.0,-0.84 0.38,-0.76 0.58,-0.42 0.62,0.1 0.56,0.6 0.66,1.1 0.0,1.3")
        canvas.paint(canvas.shape(smooth(mirrored(half))), person.hair)


def hair_before(canvas: Canvas, person: Person, head: Image.Image) -> None:
    colour, light, dark = person.hair, mix(person.hair, WHITE, 0.3), mix(person.hair, BLACK, 0.3)
    if person.hair_style == "curly":
        for k in range(17):
            a = math.pi * (1.03 + 0.94 * k / 16)
            canvas.paint(
                canvas.oval(0.44 * math.cos(a), -0.3 + 0.4 * math.sin(a), 0.16, 0.15), mix(colour, dark, 0.5 * (k % 2))
            )
            canvas.paint(
                canvas.oval(0.5 * math.cos(a), -0.34 + 0.46 * math.sin(a), 0.13, 0.12),
                mix(colour, light, 0.25 * (k % 3)),
            )
    elif person.hair_style == "short":
        crown = smooth(
            at(
                "-0.53,0.02 -0.56,-0.35 -0.44,-0.7 -0.1,-0.86 0.3,-0.82 0.54,-0.52 0.54,0.02 "
                "0.47,-0.22 0.4,-0.4 0.12,-0.42 -0.2,-0.52 -0.4,-0.36 -0.47,-0.18"
            )
        )
        mask = canvas.shape(crown)
        canvas.paint(mask, colour)
        for k in range(7):
            wave = curve([(-0.44 + 0.12 * k, -0.42), (-0.4 + 0.13 * k, -0.62), (-0.24 + 0.13 * k, -0.8)])
            canvas.paint(canvas.stroke(wave, 0.024), light if k % 2 else dark, opacity=0.45, blur=0.008, inside=mask)
    elif person.hair_style == "fringe":
        crown = smooth(
            at(
                "-0.54,0.12 -0.6,-0.3 -0.46,-0.72 0.0,-0.88 0.46,-0.72 0.6,-0.3 0.54,0.12 "
                "0.46,-0.08 0.42,-0.27 0.24,-0.2 0.12,-0.3 -0.04,-0.19 -0.2,-0.3 -0.34,-0.2 "
                "-0.44,-0.24 -0.47,-0.05"
            )
        )
        mask = canvas.shape(crown)
        canvas.paint(mask, colour)
        for k in range(6):
            strand = curve([(0.02, -0.86), (-0.3 + 0.12 * k, -0.6), (-0.36 + 0.15 * k, -0.26)])
            canvas.paint(canvas.stroke(strand, 0.02), mix(colour, WHITE, 0.4), opacity=0.28, blur=0.01, inside=mask)
    elif person.hair_style == "bun":
        sleek = smooth(
            at(
                "-0.52,-0.02 -0.53,-0.38 -0.34,-0.7 0.0,-0.78 0.34,-0.7 0.53,-0.38 0.52,-0.02 "
                "0.43,-0.32 0.22,-0.52 0.0,-0.55 -0.22,-0.52 -0.43,-0.32"
            )
        )
        mask = canvas.shape(sleek)
        canvas.paint(mask, colour)
        canvas.paint(
            canvas.oval(-0.15, -0.63, 0.22, 0.05), mix(colour, WHITE, 0.5), opacity=0.4, blur=0.04, inside=mask
        )
    elif person.hair_style == "bob":
        sweep = smooth(
            at(
                "-0.56,0.5 -0.64,0.05 -0.56,-0.5 -0.2,-0.86 0.24,-0.84 0.57,-0.5 0.64,0.05 "
                "0.56,0.5 0.47,0.1 0.44,-0.2 0.22,-0.42 -0.1,-0.5 -0.3,-0.36 -0.46,-0.16 "
                "-0.48,0.12"
            )
        )
        mask = canvas.shape(sweep)
        canvas.paint(mask, colour)
        for k in range(7):
            for side in (-1, 1):
                bend, end = side * (0.3 + 0.04 * k), side * (0.49 + 0.02 * k)
                strand = curve([(side * 0.06, -0.84), (bend, -0.5 + 0.03 * k), (end, 0.3)])
                canvas.paint(
                    canvas.stroke(strand, 0.016), light if k % 2 else dark, opacity=0.3, blur=0.006, inside=mask
                )
    elif person.hair_style == "long":
        sweep = smooth(
            at(
                "-0.55,0.4 -0.6,-0.1 -0.5,-0.58 -0.1,-0.85 0.34,-0.76 0.58,-0.36 0.58,0.4 "
                "0.49,0.0 0.4,-0.3 0.02,-0.56 -0.3,-0.3 -0.48,0.02"
            )
        )
        canvas.paint(canvas.shape(sweep), colour)
    elif person.hair_style == "hijab":
        ring = mirrored(at("0.0,-0.84 0.4,-0.75 0.6,-0.38 0.61,0.1 0.5,0.62 0.0,0.84"))
        hole = mirrored(at("0.0,-0.5 0.3,-0.42 0.43,-0.15 0.44,0.15 0.36,0.46 0.16,0.63 0.0,0.66"))
        mask = ImageChops.subtract(canvas.shape(smooth(ring)), canvas.shape(smooth(hole)))
        canvas.paint(mask, colour)
        for k in range(3):
            low = 0.1 * k
            fold = curve([(0.05, -0.8), (0.5 + 0.3 * low, -0.35 + low), (0.5, 0.25 + low), (0.2, 0.72 + 0.3 * low)])
            canvas.paint(canvas.stroke(fold, 0.03), dark, opacity=0.4, blur=0.014, inside=mask)
        rim = smooth(hole)
        canvas.paint(canvas.stroke([*rim, rim[0]], 0.018), dark, opacity=0.6)
    elif person.hair_style == "bald":
        canvas.paint(canvas.oval(-0.12, -0.52, 0.15, 0.06), WHITE, opacity=0.35, blur=0.05, inside=head)


def draw_jewels(canvas: Canvas, person: Person) -> None:
    gold = rgb("#e8b64c")
    if person.jewels == "hoops":
        for side in (-1, 1):
            canvas.paint(canvas.stroke(circle(side * 0.53, 0.27, 0.085, 0.105), 0.026), gold)
    elif person.jewels == "pearls":
        for k in range(-5, 6):
            y = 1.13 - 0.0075 * k * k
            canvas.paint(canvas.oval(k * 0.052, y, 0.032, 0.032), rgb("#f7f1e8"))
            canvas.paint(canvas.oval(k * 0.052 - 0.009, y - 0.009, 0.01, 0.01), WHITE)
            canvas.paint(canvas.oval(k * 0.052, y + 0.018, 0.022, 0.01), rgb("#b9a999"), opacity=0.5, blur=0.004)


def portrait(person: Person, width: int, height: int) -> Image.Image:
    """The person from the chest up, in their scene; pixels."""
    wide = width >= height
    unit = height * 0.36 if wide else width * 0.5
    canvas = Canvas(width, height, unit=unit, centre=(width * 0.5, height * (0.43 if wide else 0.42)))
    SCENES[person.scene](canvas)
    canvas.image = canvas.image.filter(ImageFilter.GaussianBlur(0.012 * canvas.unit))
    hair_behind(canvas, person)
    draw_body(canvas, person)
    head = draw_face(canvas, person)
    draw_beard(canvas, person, head)
    draw_nose_and_mouth(canvas, person)
    draw_eyes(canvas, person)
    hair_before(canvas, person, head)
    draw_glasses(canvas, person)
    draw_jewels(canvas, person)
    return canvas.finished()


PEOPLE: dict[str, Person] = {
    person.name: person
    for person in (
        Person(
            name="mara",
            skin=rgb("#d99a6c"),
            hair=rgb("#3b2219"),
            hair_style="curly",
            clothes=rgb("#e0a526"),
            clothes_style="sweater",
            iris=rgb("#6b4a2b"),
            scene="library",
            lips=rgb("#b5524a"),
            glasses="round",
            lashes=True,
            jaw=0.26,
        ),
        Person(
            name="tomas",
            skin=rgb("#f3c9ab"),
            hair=rgb("#b4552a"),
            hair_style="short",
            clothes=rgb("#3f7a5c"),
            clothes_style="shirt",
            iris=rgb("#4f8a9c"),
            scene="workshop",
            lips=rgb("#c4766a"),
            beard="full",
            brow_width=0.055,
            jaw=0.35,
            face_width=1.04,
        ),
        Person(
            name="ines",
            skin=rgb("#7a4a30"),
            hair=rgb("#17110f"),
            hair_style="bun",
            clothes=rgb("#e8604c"),
            clothes_style="blazer",
            iris=rgb("#3a2416"),
            scene="stage",
            lips=rgb("#a33a3f"),
            lashes=True,
            jewels="hoops",
            jaw=0.27,
        ),
        Person(
            name="kenji",
            skin=rgb("#f0c79c"),
            hair=rgb("#1c1a20"),
            hair_style="fringe",
            clothes=rgb("#2e4a7d"),
            clothes_style="hoodie",
            iris=rgb("#33221a"),
            scene="city",
            lips=rgb("#c77a6c"),
            brow_width=0.04,
            jaw=0.29,
        ),
        Person(
            name="ruth",
            skin=rgb("#f4d3bd"),
            hair=rgb("#c9c8c6"),
            hair_style="bob",
            clothes=rgb("#6f86b8"),
            clothes_style="cardigan",
            iris=rgb("#5f86a8"),
            scene="garden",
            lips=rgb("#c2656b"),
            age_lines=True,
            jewels="pearls",
            brow_width=0.034,
            jaw=0.28,
        ),
        Person(
            name="sami",
            skin=rgb("#a86f48"),
            hair=rgb("#a86f48"),
            hair_style="bald",
            clothes=rgb("#26313f"),
            clothes_style="turtleneck",
            iris=rgb("#3f2a1c"),
            scene="studio",
            lips=rgb("#96544a"),
            beard="full",
            glasses="square",
            brow_width=0.06,
            jaw=0.34,
            face_width=1.02,
        ),
        Person(
            name="leyla",
            skin=rgb("#e2b08a"),
            hair=rgb("#1f7a78"),
            hair_style="hijab",
            clothes=rgb("#f1e3d0"),
            clothes_style="scarf",
            iris=rgb("#5d6b36"),
            scene="kitchen",
            lips=rgb("#b4505a"),
            lashes=True,
            jaw=0.27,
        ),
    )
}
