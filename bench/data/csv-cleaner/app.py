import io

import pandas as pd
import streamlit as st

SAMPLE = """Name,City,Age
Ann,Oslo,31
Bob,Rome,
Cleo,Bonn,45
Ann,Oslo,31
Dan,Lyon,28
"""


def clean(table: pd.DataFrame, unique: bool, empty: str, lower: bool) -> pd.DataFrame:
    if unique:
        table = table.drop_duplicates()
    if empty == "drop rows":
        table = table.dropna()
    elif empty == "fill with 0":
        table = table.fillna(0)
    if lower:
        table = table.rename(columns=str.lower)
    return table


st.title("CSV cleaner")
given = st.file_uploader("CSV file", type="csv")
source = io.StringIO(SAMPLE) if given is None else given
raw = pd.read_csv(source)

unique = st.checkbox("Remove duplicates")
empty = st.selectbox("Empty cells", ["keep", "drop rows", "fill with 0"])
lower = st.toggle("Lower-case column names")
result = clean(raw, unique, empty, lower)

st.metric("Result", f"{len(result)} rows", f"{len(result) - len(raw)} rows")
before, after, summary = st.tabs(["Before", "After", "Summary"])
with before:
    st.dataframe(raw)
with after:
    st.dataframe(result)
with summary:
    column = st.selectbox("Column", list(result.columns))
    st.write(result[column].describe().astype(str))
limit = st.slider("Rows to show", 1, 100, 10)
if st.button("Show as text"):
    st.code(result.head(limit).to_csv(index=False))
st.download_button("Download", result.to_csv(index=False), "clean.csv", "text/csv")
