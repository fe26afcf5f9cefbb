"""Writes churn.csv: 4,000 synthetic customers with numbers, dates, words, and missing values. The file is always the same."""

import numpy as np
import pandas as pd

rows, random = 4000, np.random.default_rng(0)
plan = random.choice(["basic", "plus", "family", "student"], rows, p=[0.45, 0.25, 0.2, 0.1])
city = random.choice([f"city {number:02}" for number in range(30)], rows, p=random.dirichlet(np.full(30, 3)))
months, calls = random.gamma(2, 12, rows).round(), random.poisson(1.2, rows)
price = (20 + 15 * (plan == "plus") + 25 * (plan == "family") + random.normal(0, 4, rows)).round(2)
paperless = random.random(rows) < 0.5
mood = {name: pull for name, pull in zip(sorted(set(city)), random.normal(0, 1.2, 30), strict=True)}
stress = 1.3 * (plan == "basic") * (calls > 1) - 1.6 * (plan == "family") * paperless + 0.08 * (price - 30)
odds = 2 * stress + pd.Series(city).map(mood).to_numpy() + 1.6 * np.cos(months / 6) - 0.04 * months + 0.3
table = pd.DataFrame({"plan": plan, "city": city, "months": months, "calls": calls, "price": price, "paperless": paperless})
table["joined"] = (pd.Timestamp("2026-01-01") - pd.to_timedelta(30 * months, unit="D")).strftime("%Y-%m-%d")
table["churned"] = np.where(odds + random.logistic(0, 0.7, rows) > 0, "yes", "no")
table.loc[random.random(rows) < 0.1, "price"] = np.nan
table.loc[random.random(rows) < 0.05, "city"] = None
table.to_csv("churn.csv", index=False)
