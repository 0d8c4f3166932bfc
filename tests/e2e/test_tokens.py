"""Tokens made on the command line: each opens what it is for, and a refusal names its rule."""
import base64
import http.client
import os
import subprocess

from case import Case, DIRECT
from lab import DOMAIN, LOOPBACK
from test_cut_through import MEBIBYTE, Upload


class Commands:
    def command(self, gateway, *words, code=0):
        """jidpost token …, with the gateway's own environment; what it prints."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JIDPOST_")}
        environment["JIDPOST_SERVER_STATE_DIR"] = str(gateway.state)
        done = subprocess.run([str(gateway.program), "token", *words], env=environment, capture_output=True, text=True,
                              timeout=30)
        self.assertEqual(done.returncode, code, done.stderr)
        self.said = done.stderr
        return done.stdout if code == 0 else done.stderr

    def create(self, gateway, identifier, *options):
        text = self.command(gateway, "create", "--write", "--id", identifier, *options).strip()
        self.assertRegex(text, f"^jp_{identifier}_[A-Za-z0-9_-]{{43}}$")
        return {"Authorization": "Bearer " + text}


class Tokens(Commands, Case):
    def setUp(self):
        super().setUp()
        self.peer = self.recipient("alice")

    def with_tokens(self, **tokens):
        """A gateway that knows these, and the headers of each."""
        gateway = self.gateway(start=False, **DIRECT)
        headers = {name: self.create(gateway, name, *options) for name, options in tokens.items()}
        gateway.start()
        return gateway, headers

    def send(self, gateway, headers, to=None, body=b"x", **query):
        return gateway.request("PUT", gateway.target(to or self.peer.jid, "a.txt", **query), body, headers)

    def assertRule(self, answer, status, code, rule):
        self.assertFailed(answer, status, code)
        self.assertEqual(answer.json.get("rule"), rule, answer)

    def test_one_that_was_created_is_taken_as_bearer_and_as_password(self):
        gateway, headers = self.with_tokens(ci=["--scopes", "send,read"])
        text = headers["ci"]["Authorization"].split()[1]
        url = f"http://{LOOPBACK}:{gateway.port}" + gateway.target(self.peer.jid, "a.txt", wait=30)
        path, digest = self.file(1000)
        for how in ["-H", f"Authorization: Bearer {text}"], ["-u", f":{text}"], ["-u", f"curl:{text}"]:
            subprocess.run(["curl", "-sS", "--fail-with-body", "-T", str(path), *how, url], check=True,
                           capture_output=True, timeout=60)
        self.peer.wait("file", sha256=digest)
        for wrong in text[:-1], text + "x", text.replace("_ci_", "_cj_"), text[::-1]:
            answer = gateway.get("/v1", headers={"Authorization": f"Bearer {wrong}"})
            self.assertFailed(answer, 401, "auth_invalid")
        self.assertFailed(gateway.get("/v1"), 401, "auth_missing")

    def test_only_its_digest_is_kept_and_nothing_of_it_is_logged(self):
        gateway, headers = self.with_tokens(ci=[])
        secret = headers["ci"]["Authorization"].split("_", 2)[2]
        self.assertDelivered(self.send(gateway, headers["ci"], wait=30))
        kept = gateway.state / "tokens.d" / "ci.ini"
        self.assertEqual((kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777), (0o600, 0o700))
        self.assertRegex(kept.read_text(), r"^\[token ci\]\nhash = sha256:[0-9a-f]{64}\n")
        for place in kept, gateway.log, gateway.state / "jidpost.db":
            self.assertNotIn(secret.encode(), place.read_bytes())

    def test_a_section_is_pasted_into_a_file(self):
        gateway = self.gateway(start=False, **DIRECT)
        text, *section = self.command(gateway, "create", "--note", "by hand").splitlines()
        self.assertRegex(section[0], r"^\[token [0-9a-f]{8}\]$")
        (gateway.state / "tokens.d").mkdir(parents=True)
        (gateway.state / "tokens.d" / "pasted.ini").write_text("\n".join(section) + "\n")
        gateway.start()
        self.assertEqual(gateway.get("/v1", headers={"Authorization": f"Bearer {text}"}).status, 200)

    def test_each_rule_refuses_and_says_so(self):
        gateway, headers = self.with_tokens(
            reader=["--scopes", "read"], sender=["--scopes", "send"],
            narrow=["--allow-to", f"alice@{DOMAIN},!bob@*", "--max-size", "10"], old=["--expires", "2020-01-01"])
        self.assertRule(self.send(gateway, headers["reader"]), 403, "scope_missing", "token reader: scopes=read")
        for method, target in (("GET", "/v1/transfers"), ("GET", f"/v1/recipients/alice@{DOMAIN}"),
                               ("DELETE", "/v1/transfers/tr_" + "0" * 26)):
            answer = gateway.request(method, target, headers=headers["sender"])
            self.assertRule(answer, 403, "scope_missing", "token sender: scopes=send")
        self.assertRule(self.send(gateway, headers["narrow"], f"carol@{DOMAIN}"), 403, "recipient_not_allowed",
                        f"token narrow: allow_to=alice@{DOMAIN},!bob@*")
        self.assertRule(self.send(gateway, headers["narrow"], f"BOB@{DOMAIN}/desk"), 403, "recipient_not_allowed",
                        "token narrow: allow_to=!bob@*")
        self.assertRule(gateway.get(f"/v1/recipients/bob@{DOMAIN}", headers=headers["narrow"]), 403,
                        "recipient_not_allowed", "token narrow: allow_to=!bob@*")
        self.assertRule(self.send(gateway, headers["narrow"], body=bytes(11)), 413, "body_too_large",
                        "token narrow: max_size=10")
        self.assertRule(self.send(gateway, headers["narrow"], body=iter([bytes(11)])), 413, "body_too_large",
                        "token narrow: max_size=10")
        self.assertDelivered(self.send(gateway, headers["narrow"], body=bytes(10), wait=30))
        self.assertFailed(gateway.get("/v1", headers=headers["old"]), 401, "auth_expired")

    def assertLimited(self, answer, code, rule):
        self.assertRule(answer, 429, code, rule)
        self.assertGreater(int(answer.headers["retry-after"]), 0)

    def test_what_is_used_up_is_refused_until_later(self):
        gateway, headers = self.with_tokens(often=["--rate", "2"], few=["--active", "1"],
                                            little=["--daily-bytes", "1K"])
        for _ in range(2):
            self.assertEqual(gateway.get("/v1", headers=headers["often"]).status, 200)
        self.assertLimited(gateway.get("/v1", headers=headers["often"]), "rate_limited", "token often: rate=2")
        silent = self.recipient("bob", "--behave", "ignore")
        first = self.send(gateway, headers["few"], silent.jid).json["id"]
        self.assertLimited(self.send(gateway, headers["few"]), "quota_exceeded", "token few: active=1")
        gateway.request("DELETE", f"/v1/transfers/{first}", headers=headers["few"])
        for _ in range(5):
            self.assertDelivered(self.send(gateway, headers["few"], wait=30))
        self.assertDelivered(self.send(gateway, headers["little"], body=bytes(600), wait=30))
        for body in bytes(600), iter([bytes(600)]):
            self.assertLimited(self.send(gateway, headers["little"], body=body), "quota_exceeded",
                               "token little: daily_bytes=1024")
        self.assertDelivered(self.send(gateway, headers["little"], body=bytes(424), wait=30))

    def test_the_inbox_is_for_those_whose_scope_it_is(self):
        gateway, headers = self.with_tokens(ci=[], box=["--scopes", "inbox", "--inbox-of", "reports@*,!gw@*"])
        self.assertRule(gateway.get("/v1/inbox", headers=headers["ci"]), 403, "scope_missing",
                        "token ci: scopes=send,read,cancel,recipients,events")
        self.assertEqual(gateway.get("/v1/inbox", headers=headers["box"]).json, {"items": [], "next": None})
        self.assertFailed(gateway.get("/v1/transfers", headers=headers["box"]), 403, "scope_missing")

    def test_who_guesses_is_not_listened_to_any_more(self):
        gateway, headers = self.with_tokens(ci=[])
        wrong = {"Authorization": "Bearer jp_ci_" + "x" * 43}
        for _ in range(10):
            self.assertFailed(gateway.get("/v1", headers=wrong), 401, "auth_invalid")
        self.assertLimited(gateway.get("/v1", headers=wrong), "rate_limited", None)
        self.assertEqual(gateway.get("/v1", headers=headers["ci"]).status, 200)  # as loopback may be a front proxy
        self.assertIn('"http.locked_out"', gateway.log.read_text())

    def test_what_only_looks_like_a_token_opens_nothing(self):
        gateway, headers = self.with_tokens(ci=[])
        text = headers["ci"]["Authorization"].split()[1]
        digest = (gateway.state / "tokens.d" / "ci.ini").read_text().partition("sha256:")[2].split()[0]
        basic = {what: base64.b64encode(pair.encode()).decode() for what, pair in (
            ("user", text + ":"), ("user and password", f"{text}:{text}x"), ("no colon", text))}
        for what, lines in (
                ("another scheme", [("Authorization", f"Token {text}")]),
                ("no scheme", [("Authorization", text)]),
                ("its digest, as the state has it", [("Authorization", f"Bearer jp_ci_{digest[:43]}")]),
                ("in capitals", [("Authorization", f"Bearer {text.upper()}")]),
                ("something behind it", [("Authorization", f"Bearer {text}, Bearer {text}")]),
                ("as a user's name", [("Authorization", f"Basic {basic['user']}")]),
                ("as a user's name, with a password", [("Authorization", f"Basic {basic['user and password']}")]),
                ("without a user", [("Authorization", f"Basic {basic['no colon']}")]),
                ("a wrong one before it", [("Authorization", "Bearer x"), ("Authorization", f"Bearer {text}")]),
                ("a cookie", [("Cookie", f"token={text}")]),
                ("a proxy's", [("Proxy-Authorization", f"Bearer {text}")]),
                ("another header", [("X-Api-Key", text)])):
            with self.subTest(what):
                connection = http.client.HTTPConnection(LOOPBACK, gateway.port, timeout=20)
                self.addCleanup(connection.close)
                connection.putrequest("GET", "/v1")
                for line in lines:
                    connection.putheader(*line)
                connection.endheaders()
                self.assertIn(connection.getresponse().status, (400, 401, 429))
        for query in f"token={text}", f"access_token={text}":
            self.assertIn(gateway.get(f"/v1?{query}").status, (401, 422, 429))
        self.assertEqual(gateway.get("/v1", headers=headers["ci"]).status, 200)
        self.assertNotIn(text.split("_", 2)[2], gateway.log.read_text())

    def test_of_those_that_come_at_once_as_many_are_taken_as_may_be_under_way(self):
        gateway, headers = self.with_tokens(few=["--active", "2"])
        silent = self.recipient("bob", "--behave", "ignore")
        answers = [self.send(gateway, headers["few"], silent.jid, mode="spool").status for _ in range(6)]
        self.assertEqual(answers, [202, 202, 429, 429, 429, 429])

    def test_each_sees_its_own_and_only_that(self):
        gateway, headers = self.with_tokens(one=[], two=[], all=["--scopes", "read:all"])
        sent = {name: self.send(gateway, headers[name], wait=30).json["id"] for name in ("one", "two")}
        for name, other in ("one", "two"), ("two", "one"):
            listed = gateway.get("/v1/transfers", headers=headers[name]).json["items"]
            self.assertEqual([(each["id"], each["token"]) for each in listed], [(sent[name], name)])
            for method, query in ("GET", ""), ("GET", "?wait=20"), ("DELETE", ""), ("POST", "/retry"):
                foreign = gateway.request(method, f"/v1/transfers/{sent[other]}{query}", headers=headers[name])
                self.assertFailed(foreign, 404, "not_found")
            self.assertEqual(gateway.get(f"/v1/transfers/{sent[name]}", headers=headers[name]).status, 200)
        listed = gateway.get("/v1/transfers", headers=headers["all"]).json["items"]
        self.assertEqual({each["id"] for each in listed}, set(sent.values()))
        gateway.stop()
        gateway.start()
        listed = gateway.get("/v1/transfers", headers=headers["one"]).json["items"]
        self.assertEqual([each["id"] for each in listed], [sent["one"]])

    def test_one_under_way_is_its_makers_alone(self):
        gateway, headers = self.with_tokens(one=[], two=[])
        silent = self.recipient("bob", "--behave", "ignore")
        offered = self.send(gateway, headers["one"], silent.jid).json["id"]
        self.assertEqual(gateway.get("/v1/transfers", headers=headers["two"]).json["items"], [])
        foreign = gateway.request("DELETE", f"/v1/transfers/{offered}", headers=headers["two"])
        self.assertFailed(foreign, 404, "not_found")
        own = gateway.get(f"/v1/transfers/{offered}", headers=headers["one"])
        self.assertFalse(own.json["final"], own)
        own = gateway.request("DELETE", f"/v1/transfers/{offered}", headers=headers["one"])
        self.assertEqual(own.json["state"], "cancelled", own)

    def test_each_has_its_own_idempotency_keys(self):
        gateway, headers = self.with_tokens(one=[], two=[])
        key = {"Idempotency-Key": '"job 7"'}
        sent = [self.send(gateway, {**headers[name], **key}, wait=30).json["id"] for name in ("one", "two", "one")]
        self.assertEqual(sent[0], sent[2])
        self.assertNotEqual(sent[0], sent[1])

    def test_the_plain_token_still_does_everything(self):
        gateway = self.gateway(start=False, **DIRECT, HTTP_TOKEN="s3cret-token-of-24-bytes")
        ci = self.create(gateway, "ci", "--scopes", "send")
        gateway.start()
        sent = self.send(gateway, ci, wait=30)
        self.assertDelivered(sent)
        plain = {"Authorization": "Bearer s3cret-token-of-24-bytes"}
        self.assertEqual(gateway.get(f"/v1/transfers/{sent.json['id']}", headers=plain).status, 200)

    def test_one_that_was_revoked_opens_nothing(self):
        gateway, headers = self.with_tokens(ci=[], other=["--note", "stays"])
        self.assertEqual(gateway.get("/v1", headers=headers["ci"]).status, 200)
        self.assertEqual([line.split("\t")[0] for line in self.command(gateway, "list").splitlines()], ["ci", "other"])
        gateway.stop()
        self.command(gateway, "revoke", "ci")
        self.assertNotIn("none is left", self.said)
        self.assertIn("there is no token", self.command(gateway, "revoke", "ci", code=4))
        self.assertNotIn("ci\t", self.command(gateway, "list"))
        gateway.start()
        self.assertFailed(gateway.get("/v1", headers=headers["ci"]), 401, "auth_invalid")
        self.assertEqual(gateway.get("/v1", headers=headers["other"]).status, 200)
        self.command(gateway, "revoke", "other")
        self.assertIn("none is left there; unless", self.said)

    def test_what_is_no_token_is_not_made(self):
        gateway = self.gateway(start=False)
        for words, why in ((["--id", "../up"], "letters, digits"), (["--scopes", "fly"], "is no scope"),
                           (["--rate", "often"], "requests a minute"), (["--hash", "x"], "no option"),
                           (["--colour", "blue"], "no option")):
            self.assertIn(why, self.command(gateway, "create", "--write", *words, code=2))
        self.create(gateway, "ci")
        self.assertIn("there is a token ci", self.command(gateway, "create", "--write", "--id", "ci", code=2))

    def test_a_token_lets_callers_in_from_afar(self):
        gateway = self.gateway(start=False, **DIRECT, HTTP_LISTEN="0.0.0.0:0")
        headers = self.create(gateway, "ci")
        gateway.start()
        self.assertEqual(gateway.get("/v1", headers=headers).status, 200)
        self.assertFailed(gateway.get("/v1"), 401, "auth_missing")


class Reload(Commands, Case):
    """Tokens come and go with SIGHUP."""

    def setUp(self):
        super().setUp()
        self.file = self.path("jidpost.ini")
        self.file.write_text("")

    def waiting_gateway(self, **settings):
        gateway = self.gateway(start=False, **DIRECT, **settings)
        gateway.arguments = ["--config", str(self.file)]
        return gateway

    def ids(self, gateway, event):
        return [line["id"] for line in gateway.logged(event)]

    def test_a_token_is_good_from_one_reload_to_another(self):
        gateway = self.waiting_gateway()
        first = self.create(gateway, "first")
        gateway.start()
        second = self.create(gateway, "second")
        self.assertRegex(self.said, "knows it after a reload")
        self.assertFailed(gateway.get("/v1", headers=second), 401, "auth_invalid")
        gateway.reload()
        for headers in first, second:
            self.assertEqual(gateway.get("/v1", headers=headers).status, 200)
        self.command(gateway, "revoke", "first")
        self.assertRegex(self.said, "until it reloads")
        self.assertEqual(gateway.get("/v1", headers=first).status, 200)
        gateway.reload()
        self.assertFailed(gateway.get("/v1", headers=first), 401, "auth_invalid")
        self.assertEqual(gateway.get("/v1", headers=second).status, 200)
        self.assertEqual(self.ids(gateway, "token.added"), ["second"])
        self.assertEqual(self.ids(gateway, "token.removed"), ["first"])

    def test_other_rules_of_a_section_are_in_force_after_it(self):
        gateway = self.waiting_gateway()
        section = self.command(gateway, "create", "--id", "ci", "--scopes", "read")
        text, _, section = section.partition("\n")
        self.file.write_text(section)
        gateway.start()
        headers, peer = {"Authorization": "Bearer " + text}, self.recipient("alice")
        self.assertFailed(gateway.put(peer.jid, b"x", headers=headers), 403, "scope_missing")
        self.file.write_text(section.replace("scopes = read", "scopes = read,send"))
        gateway.reload()
        self.assertEqual(gateway.put(peer.jid, b"x", headers=headers).status, 202)
        self.assertEqual(self.ids(gateway, "token.changed"), ["ci"])

    def test_the_plain_token_is_read_anew_from_its_file(self):
        secret = self.path("token")
        secret.write_text("a" * 32)
        gateway = self.waiting_gateway(HTTP_TOKEN_FILE=str(secret))
        gateway.start()
        self.assertEqual(gateway.get("/v1", headers={"Authorization": "Bearer " + "a" * 32}).status, 200)
        secret.write_text("b" * 32)
        self.assertEqual(gateway.reload()["changed"], 1)
        self.assertFailed(gateway.get("/v1", headers={"Authorization": "Bearer " + "a" * 32}), 401, "auth_invalid")
        self.assertEqual(gateway.get("/v1", headers={"Authorization": "Bearer " + "b" * 32}).status, 200)

    def test_a_request_that_runs_ends_under_the_token_it_began_with(self):
        gateway, peer = self.waiting_gateway(), self.recipient("alice")
        headers = self.create(gateway, "ci")
        self.create(gateway, "stays")
        gateway.start()
        body = os.urandom(MEBIBYTE)
        upload = Upload(gateway, peer.jid, len(body), headers=headers, wait=30)
        self.addCleanup(upload.cut)
        upload.send(body[:MEBIBYTE // 2])
        peer.wait("begun")
        self.command(gateway, "revoke", "ci")
        gateway.reload()
        self.assertFailed(gateway.get("/v1", headers=headers), 401, "auth_invalid")
        upload.send(body[MEBIBYTE // 2:])
        status, final = upload.answer()
        self.assertEqual((status, final["state"]), (200, "delivered"))

    def test_the_last_token_does_not_go_while_strangers_could_come(self):
        gateway = self.waiting_gateway()
        del gateway.settings["HTTP_LISTEN"]
        headers = self.create(gateway, "ci")
        gateway.expected_errors.add("config.refused")
        self.file.write_text("[http]\nlisten = 0.0.0.0:0\n")
        gateway.start()
        self.command(gateway, "revoke", "ci")
        self.assertRegex(self.said, "refuses to reload")
        self.assertIn("callers need a token", gateway.reload("config.refused")["error"])
        self.file.write_text(f"[http]\nlisten = {LOOPBACK}:0\n")  # from the next start on, but not yet
        self.assertIn("no token is left", gateway.reload("config.refused")["error"])
        self.assertFailed(gateway.get("/v1"), 401, "auth_missing")
        self.assertEqual(gateway.get("/v1", headers=headers).status, 200)
        other = self.create(gateway, "other")
        gateway.reload()
        self.assertFailed(gateway.get("/v1", headers=headers), 401, "auth_invalid")
        self.assertEqual(gateway.get("/v1", headers=other).status, 200)

    def test_names_are_looked_at_as_long_as_no_token_is_asked_for(self):
        gateway = self.waiting_gateway().start()
        evil = {"Host": "evil.example"}
        self.assertFailed(gateway.get("/v1", headers=evil), 403, "host_not_allowed")
        headers = self.create(gateway, "ci")
        gateway.reload()
        self.assertEqual(gateway.get("/v1", headers={**headers, **evil}).status, 200)
        self.command(gateway, "revoke", "ci")
        gateway.reload()
        self.assertEqual(gateway.get("/v1").status, 200)
        self.assertFailed(gateway.get("/v1", headers=evil), 403, "host_not_allowed")
