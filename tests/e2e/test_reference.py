"""What explains the API to people, in a real browser."""
import subprocess

import yaml

from case import Case
from peers import HERE

TESTS = HERE.parent
TOKEN = "reference-token-for-tests"


class Reference(Case):
    def test_the_reference_page_shows_every_operation_and_tries_one_out(self):
        gateway = self.gateway(start=False, HTTP_TOKEN=TOKEN)
        gateway.headers["Authorization"] = f"Bearer {TOKEN}"
        gateway.start()
        document = yaml.safe_load((TESTS.parent / "openapi.yaml").read_text())
        operations = sum("operationId" in operation for part in ("paths", "webhooks")
                         for path in document[part].values() for operation in path.values())
        done = subprocess.run(["node", str(TESTS / "page" / "docs.mjs"), "--url", gateway.url, "--token", TOKEN,
                               "--operations", str(operations)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_error_code_has_a_page(self):
        gateway = self.gateway(HTTP_TOKEN=TOKEN)
        words = gateway.get("/problems").body.decode().splitlines()
        codes = [line.partition(":")[0] for line in words]
        self.assertGreater(len(codes), 40)
        self.assertIn("recipient_offline", codes)
        for code in codes:
            page = gateway.get(f"/problems/{code}", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
            self.assertEqual((page.status, page.type), (200, "text/html; charset=utf-8"), code)
            self.assertIn(f"<code>{code}</code>", page.body.decode())
            self.assertIn("Content-Security-Policy".lower(), page.headers)
