"""Print what the API offers, as docs/openapi.json holds it.

python -m services.api.openapi > docs/openapi.json
"""

import json
import sys

from services.api.app import app_of


def described() -> str:
    return json.dumps(app_of().openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(described())
