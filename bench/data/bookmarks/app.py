from flask import Flask, Response, jsonify, request

app = Flask(__name__)
bookmarks: list[dict[str, str]] = [{"address": "https://example.org/start", "tag": "first"}]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bookmarks</title>
<style>body { font-family: system-ui; max-width: 36rem; margin: 2rem auto; }</style></head>
<body>
<h1>Bookmarks</h1>
<form id="form">
  <label>Address <input id="address" type="url" required></label>
  <label>Tag <input id="tag"></label>
  <button>Save</button>
</form>
<p><label>Search <input id="search"></label> <span id="found"></span></p>
<ul id="list"></ul>
<p><a href="/stats">Statistics</a></p>
<script>
const byId = (id) => document.getElementById(id);
async function load() {
  const words = encodeURIComponent(byId("search").value);
  const answer = await fetch("/api/bookmarks?tag=" + words);
  const all = await answer.json();
  byId("found").textContent = all.length + " found";
  byId("list").replaceChildren(...all.map((one) => {
    const item = document.createElement("li");
    item.textContent = one.address + " [" + one.tag + "]";
    return item;
  }));
}
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch("/api/bookmarks", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({address: byId("address").value, tag: byId("tag").value}),
  });
  byId("form").reset();
  await load();
});
byId("search").addEventListener("input", load);
load();
</script>
</body></html>"""


@app.get("/")
def index() -> Response:
    return Response(PAGE, mimetype="text/html")


@app.get("/api/bookmarks")
def listed() -> Response:
    tag = request.args.get("tag", "").lower()
    return jsonify([one for one in bookmarks if tag in one["tag"].lower()])


@app.post("/api/bookmarks")
def added() -> tuple[Response, int]:
    data = request.get_json()
    if not str(data.get("address", "")).startswith("http"):
        return jsonify(error="An address starts with http."), 400
    bookmark = {"address": data["address"], "tag": data.get("tag", "")}
    bookmarks.insert(0, bookmark)
    return jsonify(bookmark), 201


@app.get("/stats")
def stats() -> str:
    tags = sorted({one["tag"] for one in bookmarks})
    return f"<h1>Statistics</h1><p>{len(bookmarks)} saved, {len(tags)} tags</p>"
