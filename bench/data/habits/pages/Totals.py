import pandas as pd
import streamlit as st
from store import totals

st.title("Totals by habit")
table = pd.DataFrame(totals().items(), columns=["Habit", "Times"])
order = st.selectbox("Order by", ["Habit", "Times"])
st.dataframe(table.sort_values(order), hide_index=True)
st.bar_chart(table, x="Habit", y="Times")
