import streamlit as st
from store import add, done_today, habits, tick

st.title("Habit tracker")

with st.form("new", clear_on_submit=True):
    name = st.text_input("New habit")
    if st.form_submit_button("Add habit") and name.strip():
        add(name.strip())

for habit in habits():
    left, right = st.columns([3, 1])
    left.write(f"**{habit}**")
    if right.button(f"Done with {habit}", disabled=habit in done_today()):
        tick(habit)
        st.rerun()

st.subheader(f"{len(done_today())} of {len(habits())} done")
st.progress(len(done_today()) / max(1, len(habits())))
mood = st.radio("Mood", ["good", "so-so", "bad"], horizontal=True)
note = st.text_area("Note of the day")
if note:
    st.write(f"Noted ({mood}): {note}")
