const LINES = [
  [0, 1, 2], [3, 4, 5], [6, 7, 8],
  [0, 3, 6], [1, 4, 7], [2, 5, 8],
  [0, 4, 8], [2, 4, 6],
];
const board = document.getElementById("board");
const scoreLine = document.getElementById("score");
const score = { X: 0, O: 0 };
let squares = Array(9).fill("");
let turn = "X";
let over = false;

function winner() {
  for (const [a, b, c] of LINES) {
    if (squares[a] && squares[a] === squares[b] && squares[b] === squares[c]) {
      return squares[a];
    }
  }
  return null;
}

function play(index) {
  if (over || squares[index]) return;
  squares[index] = turn;
  const won = winner();
  if (won) {
    over = true;
    score[won] += 1;
  } else if (squares.every(Boolean)) {
    over = true;
  } else {
    turn = turn === "X" ? "O" : "X";
  }
  draw();
}

function message() {
  const won = winner();
  if (won) return `${won} wins`;
  return over ? "A draw" : `${turn} to move`;
}

function draw() {
  board.replaceChildren(...squares.map((mark, index) => {
    const square = document.createElement("button");
    square.textContent = mark;
    square.setAttribute("aria-label", `Square ${index + 1}`);
    square.addEventListener("click", () => play(index));
    return square;
  }));
  document.getElementById("status").textContent = message();
  scoreLine.textContent = `X: ${score.X} O: ${score.O}`;
}

document.getElementById("new-game").addEventListener("click", () => {
  squares = Array(9).fill("");
  turn = "X";
  over = false;
  draw();
});
document.getElementById("theme").addEventListener("click", () => {
  document.body.classList.toggle("dark");
});
draw();
