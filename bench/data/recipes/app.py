from flask import Flask, abort, render_template, request

app = Flask(__name__)
RECIPES = {
    "pancakes": {"title": "Pancakes", "serves": 4, "parts": [(250, "g flour"), (2, "eggs")]},
    "soup": {"title": "Lentil soup", "serves": 2, "parts": [(200, "g lentils"), (1, "onion")]},
}


@app.route("/")
def index():
    return render_template("index.html", recipes=RECIPES)


@app.route("/recipe/<name>")
def recipe(name):
    found = RECIPES.get(name)
    if found is None:
        abort(404)
    guests = request.args.get("guests", found["serves"], type=int)
    factor = guests / found["serves"]
    parts = [(round(amount * factor, 1), what) for amount, what in found["parts"]]
    return render_template("recipe.html", recipe=found, parts=parts, guests=guests)


@app.route("/shopping")
def shopping():
    parts = [part for recipe in RECIPES.values() for part in recipe["parts"]]
    return render_template("shopping.html", parts=parts)


@app.template_filter("plain")
def plain(number):
    return f"{number:g}"
