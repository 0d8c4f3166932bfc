"""What Prism, as a validating proxy, says of one exchange: openapi.yaml against what went by."""
import json


def violations(status, headers):
    """As sentences. Of a request that was refused only the answer has to be as described. headers: by small names."""
    return [f"{status}, {'/'.join(each['location'])}: {each['message']}"
            for each in json.loads(headers.get("sl-violations", "[]"))
            if not (each["location"][0] == "request" and status >= 400)]
