import pandas as pd
import streamlit as st

st.set_page_config(page_title="Savings plan", page_icon="🐷")
st.title("Savings plan")


@st.cache_data
def growth(monthly: float, years: int, rate: float) -> pd.DataFrame:
    balance = paid = 0.0
    rows = []
    for month in range(1, years * 12 + 1):
        balance = balance * (1 + rate / 1200) + monthly
        paid += monthly
        if month % 12 == 0:
            rows.append({"Year": month // 12, "Paid in": paid, "Balance": round(balance, 2)})
    return pd.DataFrame(rows)


left, middle, right = st.columns(3)
monthly = left.number_input("Monthly saving", min_value=0.0, value=150.0, step=10.0)
years = middle.number_input("Years", min_value=1, max_value=50, value=10)
rate = right.number_input("Interest in percent", min_value=0.0, max_value=20.0, value=3.0)

table = growth(monthly, int(years), rate)
last = table.iloc[-1]
gain = last["Balance"] - last["Paid in"]
st.metric("Balance at the end", f"{last['Balance']:,.2f}", f"{gain:,.2f}")

chart, numbers = st.tabs(["Chart", "Table"])
chart.line_chart(table, x="Year", y=["Paid in", "Balance"])
numbers.dataframe(table, hide_index=True)

goal = st.slider("Goal", 1000, 100_000, 20_000, step=1000)
reached = table[table["Balance"] >= goal]
if st.checkbox("Tell me when the goal is reached", value=True):
    if reached.empty:
        st.info("The goal is not reached in this time.")
    else:
        st.success(f"The goal is reached in year {int(reached.iloc[0]['Year'])}.")
if st.button("Celebrate"):
    st.write(f"You will have paid in {last['Paid in']:,.0f} by then. Well done!")
st.download_button("Download the table", table.to_csv(index=False), "savings.csv", "text/csv")
