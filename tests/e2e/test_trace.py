"""The caller's trace is in every line of the log about its request and its transfer, and outlives a restart."""
from case import Case, DIRECT, QUICK
from lab import DOMAIN

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Trace(Case):
    settings = {**DIRECT, **QUICK}

    def lines(self, gateway, key, value):
        return [line for event in ("http.request", "http.problem", "transfer.state", "transfer.ignored")
                for line in gateway.logged(event) if line.get(key) == value]

    def test_one_trace_leads_from_the_request_to_the_delivery(self):
        gateway = self.gateway()
        peer = self.recipient("alice")
        answer = gateway.put(peer.jid, b"x", headers={"traceparent": PARENT, "X-Request-Id": "job-7"}, wait=30)
        self.assertDelivered(answer)
        self.assertEqual((answer.headers["traceparent"], answer.headers["x-request-id"]), (PARENT, "job-7"))
        self.assertEqual((answer.json["traceparent"], answer.json["trace_id"]), (PARENT, TRACE))
        other = gateway.put(peer.jid, b"y", wait=30)
        self.assertNotIn("traceparent", other.headers)
        self.assertIsNone(other.json["trace_id"])
        mine = self.lines(gateway, "transfer", answer.json["id"])
        self.assertEqual({line.get("trace_id") for line in mine}, {TRACE})
        self.assertEqual({line.get("request_id") for line in mine if line["event"] == "transfer.state"}, {"job-7"})
        self.assertEqual([line["state"] for line in mine if line["event"] == "transfer.state"],
                         ["offering", "connecting", "transferring", "delivered"])
        self.assertEqual([line["trace_id"] for line in self.lines(gateway, "request_id", "job-7")
                          if line["event"] == "http.request"], [TRACE])
        self.assertFalse([line for line in self.lines(gateway, "transfer", other.json["id"]) if "trace_id" in line])

    def test_a_restart_keeps_it(self):
        gateway = self.gateway()
        sent = gateway.put(f"bob@{DOMAIN}", b"x", headers={"traceparent": PARENT}, hold="1h").json["id"]
        gateway.wait_state(sent, "held")
        gateway.stop()
        gateway.start()
        self.assertEqual(gateway.transfer(sent)["trace_id"], TRACE)
        gateway.request("DELETE", f"/v1/transfers/{sent}")
        self.assertEqual([line["trace_id"] for line in gateway.logged("transfer.state")
                          if line["transfer"] == sent and line["state"] == "cancelled"], [TRACE])
