"""Writes fraud.csv: 12,000 synthetic payments, about 4% of them fraud. The file is always the same."""

import numpy as np
import pandas as pd

rows, random = 12_000, np.random.default_rng(0)
country = random.choice(["DE", "FR", "US", "BR", "NG"], rows, p=[0.35, 0.25, 0.2, 0.15, 0.05])
shop = random.choice(["food", "games", "travel", "phones"], rows, p=[0.5, 0.2, 0.2, 0.1])
amount, hour = random.lognormal(3.5, 1, rows).round(2), random.integers(0, 24, rows)
age = np.where(random.random(rows) < 0.15, np.nan, random.gamma(2, 2, rows).round(1))
night = (hour < 6) | (hour > 22)
odds = (
    1.4 * np.log(amount / 35) * (shop != "food") + 2.2 * night * (shop == "games") + 2 * (country == "NG") * (shop == "phones")
)
odds += 1.5 * (np.nan_to_num(age, nan=2) < 1) - 3.35
fraud = odds + random.logistic(0, 0.7, rows) > 0
table = pd.DataFrame({"country": country, "shop": shop, "amount": amount, "hour": hour, "account_years": age, "fraud": fraud})
table.to_csv("fraud.csv", index=False)
print(f"{fraud.mean():.1%} of {rows:,} payments are fraud")
