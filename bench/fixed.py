"""A Flask app that allows whatever it is asked, under plain gunicorn: what Flask and gunicorn cost by themselves."""

from __future__ import annotations

from flask import Flask, Response, request
from orjson import dumps, loads

app = Flask("fixed")


@app.post("/validate")
def validate() -> Response:
    uid = loads(request.get_data())["request"]["uid"]
    answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, "allowed": True}}
    return Response(dumps(answer), content_type="application/json")
