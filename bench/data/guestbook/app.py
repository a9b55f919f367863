import sqlite3
from datetime import datetime

from flask import Flask, redirect, render_template, request, url_for

app = Flask(__name__)
DATABASE = "guestbook.sqlite"


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE)
    connection.row_factory = sqlite3.Row
    connection.execute(
        "create table if not exists message"
        " (id integer primary key, name text, body text, written text)"
    )
    return connection


@app.get("/")
def index():
    with connect() as db:
        messages = db.execute("select * from message order by id desc").fetchall()
    return render_template("index.html", messages=messages, error=request.args.get("error"))


@app.post("/sign")
def sign():
    name = request.form.get("name", "").strip() or "Somebody"
    body = request.form.get("body", "").strip()
    if not body:
        return redirect(url_for("index", error="Write a message first."))
    with connect() as db:
        db.execute(
            "insert into message (name, body, written) values (?, ?, ?)",
            (name, body, datetime.now().strftime("%d %B %Y")),
        )
    return redirect(url_for("index"))


@app.get("/about")
def about():
    with connect() as db:
        (count,) = db.execute("select count(*) from message").fetchone()
    return render_template("about.html", count=count)


@app.get("/export")
def export():
    with connect() as db:
        rows = db.execute("select name, body from message").fetchall()
    return {"messages": [dict(row) for row in rows]}
