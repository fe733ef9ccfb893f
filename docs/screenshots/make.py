"""Record `asynccvat` in a pseudo-terminal, and draw the screens of the documentation.

    python docs/screenshots/make.py            # all
    python docs/screenshots/make.py failures   # some, by their names in `scenes.SCENES`

It runs real commands against simulated servers, and writes SVGs to `docs/assets/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scenes import SCENES

ASSETS = Path(__file__).resolve().parents[1] / "assets"


def main(names: list[str]) -> None:
    """Record the named scenes, or all."""
    unknown = set(names) - SCENES.keys()
    if unknown:
        raise SystemExit(f"no scene {', '.join(unknown)}: there are {', '.join(SCENES)}")
    for name in names or SCENES:
        for screen, drawn in SCENES[name]().items():
            target = ASSETS / f"{screen}.svg"
            target.write_text(drawn, encoding="utf-8")
            print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
