"""Tables as samples: what columns hold, how rows become numbers, what is fitted on which rows, and how rows are split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest

from autodistill.data import Splits, read, split
from autodistill.data.encode import booleans, days, encoded, numbers, words
from autodistill.data.given import save_given
from autodistill.data.orders import newest, whole_groups
from autodistill.data.tables import encoded_file, read_table
from autodistill.spec import DataError, Spec, SpecError, Split, load

from .conftest import DOCUMENT
from .tabular import customers, raw_of, splits_of, task_of, written

YES_NO = ["no", "yes"] * 20


def columns_of(splits: Splits) -> dict[str, Any]:
    assert splits.encoding is not None
    return {column.name: column for column in splits.encoding.columns}


def frame_of(**columns: Any) -> pd.DataFrame:
    """40 rows; a value of a column that is no list is in all of them."""
    return pd.DataFrame(
        {"churned": YES_NO} | {name: value if isinstance(value, list) else [value] * 40 for name, value in columns.items()}
    )


# What columns hold


def test_each_column_is_taken_for_what_it_holds(tmp_path: Path) -> None:
    kinds = {name: column.kind for name, column in columns_of(splits_of(written(tmp_path))).items()}
    assert kinds == {
        "paperless": "boolean",
        "plan": "category",
        "price": "number",
        "region": "category",
        "signed": "date",
        "store": "number",
        "tenure": "number",
    }


def test_a_file_of_text_and_typed_columns_are_the_same_data(tmp_path: Path) -> None:
    frame, task = customers(), task_of(written(tmp_path))
    found = {
        name: splits_of(written(tmp_path, frame, name)).fingerprint for name in ("churn.csv", "churn.parquet", "churn.csv.gz")
    }
    for data in (frame, pyarrow.Table.from_pandas(frame), frame.convert_dtypes(), frame.astype({"plan": "category"})):
        found[repr(type(data)) + str(len(found))] = split(read_table(data, task), task).fingerprint
    assert len(set(found.values())) == 1, found


def test_the_spec_decides_what_a_column_holds(tmp_path: Path) -> None:
    frame = customers()
    frame["signed"] = frame["signed"].dt.strftime("%d/%m/%Y")
    changes = {"store": "category", "signed": "date %d/%m/%Y", "paperless": "category"}
    found = columns_of(splits_of(written(tmp_path, frame), columns=changes))
    assert (found["store"].kind, found["paperless"].words, found["signed"].kind) == ("category", ("False", "True"), "date")
    assert found["signed"].mean == columns_of(splits_of(written(tmp_path, customers())))["signed"].mean


def test_a_category_of_numbers_has_the_same_words_from_text_whole_numbers_and_floats() -> None:
    texts = [pd.Series(values, dtype=object) for values in ((7, 12, 7), ("7", " 12", "7 "), (7.0, 12.0, 7.0))]
    assert {tuple(words(text)) for text in texts} == {("7", "12", "7")}
    assert words(pd.Series([7.0, np.nan, 2.5])).tolist()[::2] == ["7", "2.5"]
    assert words(pd.Series(["", "  ", None, "a"], dtype=object)).isna().tolist() == [True, True, True, False]


def test_numbers_booleans_and_days_in_closed_form() -> None:
    assert numbers(pd.Series(["1.5", "x", None, " 1e3 ", ""]))[[0, 3]].tolist() == [1.5, 1000.0]
    assert numbers(pd.Series(pd.to_timedelta(["1h", "90s"]))).tolist() == [3600.0, 90.0]
    assert booleans(pd.Series(["True", "no", "1", "F"])).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert days(pd.Series(["1970-01-02", "1971-01-01T12:00:00Z"])).tolist() == [1.0, 365.5]
    assert days(pd.Series(["1970-01-01T01:00:00+01:00"])).tolist() == [0.0]
    assert days(pd.Series(["31.12.1970"]), "%d.%m.%Y").tolist() == [364.0]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["yes", "no", "no", "yes"], ("no", "yes")),
        ([10, 9, 9, 10], ("9", "10")),
        ([True, False, False, True], ("False", "True")),
        ([1.0, 0.0, 0.0, 1.0], ("0", "1")),
    ],
)
def test_labels_may_be_words_numbers_and_booleans(labels: list[Any], classes: tuple[str, ...]) -> None:
    found = read_table(pd.DataFrame({"churned": labels, "n": range(4)}), task_of(Path("x.csv")))
    assert found.names == classes
    assert found.y.tolist() == [1, 0, 0, 1]


# How rows become numbers


@pytest.mark.parametrize("step", [0.5, 1])
def test_many_numbers_are_values_unless_the_spec_says_that_they_are_classes(tmp_path: Path, step: float) -> None:
    values = np.arange(30) * step + 7
    written_to = tmp_path / "values.csv"
    pd.DataFrame({"a": np.arange(30) % 7, "churned": values}).to_csv(written_to, index=False)
    found = splits_of(written_to)
    parts = [found.train.y, found.validation.y, found.test.unseal().y]
    assert found.kind == "regression" and np.array_equal(np.sort(np.concatenate(parts)[:, 0]), values)
    assert found.names == ("churned",)
    with pytest.raises(DataError, match="30 different labels in 30 rows, too many for classes"):
        splits_of(written_to, kind="classification")


def test_values_beyond_the_precision_of_networks_are_refused(tmp_path: Path) -> None:
    for values, message in (
        (1e9 + np.arange(40) / 8, "column 'churned' has values of about 1e[+]09"),
        (np.arange(40) * 1e38, "beyond"),
    ):
        with pytest.raises(DataError, match=message):
            splits_of(written(tmp_path, frame_of(a=list(range(40))).assign(churned=values)))


def test_a_regression_on_words_and_several_labels_in_one_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="but task.kind is regression; give numbers, or remove kind"):
        splits_of(written(tmp_path), kind="regression")
    with pytest.raises(DataError, match="task.label names one column"):
        splits_of(written(tmp_path), kind="multilabel")


def test_encoding_in_closed_form() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "n", "kind": "number", "mask": True, "fill": 4.0, "mean": 2.0, "scale": 2.0},
        {"name": "b", "kind": "boolean", "mask": False, "fill": 1.0, "mean": 0.5, "scale": 0.5},
        {"name": "c", "kind": "category", "mask": True, "words": ["u", "v"]},
        {"name": "d", "kind": "category", "mask": False, "words": ["w"]},
    ]
    frame = pd.DataFrame(
        {"d": ["w", "?", None], "n": [2.0, None, 6.0], "c": ["v", None, "z"], "b": [True, False, None], "e": 0}
    )
    found = encoded(frame, columns)
    assert found["numbers"].tolist() == [[0, 1, 0], [1, -1, 1], [2, 1, 0]]
    assert found["categories"].tolist() == [[2, 1], [3, 0], [0, 0]]
    assert (found["numbers"].dtype, found["categories"].dtype) == (np.float32, np.int64)
    assert encoded(frame, columns[:2])["x"].tolist() == found["numbers"].tolist()
    one = {"n": 2, "b": True, "c": "v", "d": "w"}
    assert {name: part.tolist() for name, part in encoded(one, columns).items()} == {
        "numbers": [[0, 1, 0]],
        "categories": [[2, 1]],
    }


def test_a_calendar_date_is_also_a_place_in_the_week_and_in_the_year() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "at", "kind": "calendar", "mask": True, "fill": 0.0, "mean": 0.0, "scale": 1.0},
        {"name": "n", "kind": "number", "mask": False, "fill": 0.0, "mean": 0.0, "scale": 1.0},
    ]
    dates = ["2024-01-01", "2024-01-08T18:00", "2024-01-02", "2020-01-01", "2024-07-01", None]  # Mondays, but for two
    found = encoded(pd.DataFrame({"at": dates, "n": 1.0}), columns)["x"]
    assert found.shape == (6, 7) and found[:, 2].tolist() == [0, 0, 0, 0, 0, 1]
    week, year = found[:, 3:5], found[:, 5:7]
    np.testing.assert_allclose(np.square(found[:5, 3:]).reshape(5, 2, 2).sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(week[[1, 4]], week[[0, 0]], atol=1e-6)
    assert np.linalg.norm(week[2] - week[0]) > 0.5 and not found[5, 3:].any()
    np.testing.assert_allclose(year[3], year[0], atol=0.02)
    np.testing.assert_allclose(year[4], -year[0], atol=0.05)


def test_fitted_numbers_are_those_of_scikit_learn_on_the_training_rows(tmp_path: Path) -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = customers()
    raw, task = raw_of(written(tmp_path, frame)), task_of(written(tmp_path, frame))
    splits = split(raw, task)
    rows = splits.train.x["numbers"], splits.validation.x["numbers"]
    order = ["paperless", "price", "signed", "store", "tenure"]
    assert [column.name for column in columns_of(splits).values() if column.words is None] == order
    values = frame[order].assign(signed=days(frame["signed"])).astype(float)
    train, validation = _rows(frame, splits)
    pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(values.to_numpy()[train])
    for found, which in zip(rows, (train, validation), strict=True):
        np.testing.assert_allclose(np.asarray(found)[:, :5], pipeline.transform(values.to_numpy()[which]), atol=1e-5)
        assert np.asarray(found)[:, 5].tolist() == frame["price"].isna().to_numpy()[which].tolist()


def _rows(frame: pd.DataFrame, splits: Splits) -> tuple[list[int], list[int]]:
    """The rows of training and validation, which are known by their dates."""
    column = columns_of(splits)["signed"]
    there = {round(value, 3): row for row, value in enumerate((days(frame["signed"]) - column.mean) / column.scale)}
    of = [
        [there[round(float(value), 3)] for value in np.asarray(part.x["numbers"])[:, 2]]
        for part in (splits.train, splits.validation)
    ]
    return of[0], of[1]


def test_nothing_is_fitted_on_validation_and_test_rows(tmp_path: Path) -> None:
    frame = customers()
    before = splits_of(written(tmp_path, frame))
    train, _ = _rows(frame, before)
    other = frame.copy()
    rest = ~np.isin(np.arange(len(frame)), train)
    other.loc[rest, ["price", "tenure"]] *= 7
    other.loc[rest, "plan"] = "another"
    assert splits_of(written(tmp_path, other)).encoding == before.encoding


def test_a_missing_value_is_not_zero_and_has_a_mask(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path))
    price, region = columns_of(splits)["price"], columns_of(splits)["region"]
    assert price.mask and region.mask and 0.05 < price.missing < 0.3
    numbers_ND, codes_NC = np.asarray(splits.train.x["numbers"]), np.asarray(splits.train.x["categories"])
    absent = numbers_ND[:, 5] == 1
    assert np.allclose(numbers_ND[absent, 1], (price.fill - price.mean) / price.scale) and absent.any()
    assert sorted(set(codes_NC[:, 1])) == [1, 2, 3, 4], "three words and the missing one"
    assert splits.encoding is not None and splits.encoding.values == (4, 5)


def test_a_word_that_occurs_once_is_unknown(tmp_path: Path) -> None:
    frame = frame_of(plan=["a"] * 39 + ["b"])
    splits = splits_of(written(tmp_path, frame), split=Split(validation=0.1, test=0.1, seed=3))
    assert columns_of(splits)["plan"].words == ("a",)


@pytest.mark.parametrize(
    ("words", "given", "codes"),
    [
        (("03", "12", "A1"), [3, 12, 4], [1, 2, 0]),  # typed numbers beside text: 03 is the only 3
        (("03", "12", "A1"), ["03", "3", "A1", " 12 "], [1, 0, 3, 2]),  # text beside text is compared as it is
        (("03", "12"), ["3", "3.0", "12.0", "x"], [1, 1, 2, 0]),  # all words are numbers, as pandas reads them
        (("3", "12"), ["03", "3.0", 3.0, 3], [1, 1, 1, 1]),
        (("03", "3"), [3, "03", "003"], [2, 1, 0]),  # two words are the number 3: only the same word counts
        (("3.0", "4.5"), [3, 4.5, None], [1, 2, 0]),
        (("True", "x"), [True, False], [1, 0]),
        ((), [3, "3"], [0, 0]),
    ],
)
def test_a_number_finds_the_word_that_is_the_same_number(words: tuple[str, ...], given: list[Any], codes: list[int]) -> None:
    column = {"name": "a", "kind": "category", "words": list(words), "mask": False}
    for values in (pd.Series(given, dtype=object), pd.Series(given)):
        assert encoded(values.to_frame("a"), [column])["categories"][:, 0].tolist() == codes


def test_a_category_of_text_takes_numbers_when_rows_are_predicted(tmp_path: Path) -> None:
    frame = customers()[["tenure", "store", "churned"]].assign(store=lambda one: "0" + (one["store"] % 10).astype(str))
    splits = splits_of(written(tmp_path, frame), columns={"store": "category"})
    assert splits.encoding is not None
    typed = written(tmp_path, frame.assign(store=frame["store"].astype(int)), "rows.parquet")
    text = written(tmp_path, frame, "rows.csv")
    one, other = (encoded_file(path, splits.encoding, "--data")["categories"] for path in (typed, text))
    assert np.array_equal(one, other) and one.min() > 0


INDEXED: list[dict[str, Any]] = [{}, {"groups": "store"}, {"split": Split(validation=0.25, test=0.25, by="store")}]
INDEXED += [{"label": "store", "kind": "regression"}, {"features": ["store", "tenure"]}]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("task", INDEXED)
def test_an_index_is_a_column_only_where_the_spec_names_it(tmp_path: Path, task: dict[str, Any], several: bool) -> None:
    frame = customers()
    asked = "store" in str(task)
    indexed = frame.set_index(["store", "signed"] if several else "store")
    plain = frame if asked else frame.drop(columns="store")
    plain = plain.drop(columns="signed") if several else plain
    one = splits_of(written(tmp_path, indexed, "indexed.parquet"), **task)
    other = splits_of(written(tmp_path, plain, "plain.parquet"), **task)
    assert one.fingerprint == other.fingerprint
    known = task_of(tmp_path / "given.parquet", **task)
    (tmp_path / "given").mkdir()
    save_given(indexed, tmp_path / "given", known, 1 << 30)
    assert splits_of(tmp_path / "given" / "table.parquet", **task).fingerprint == one.fingerprint


def test_rows_to_predict_may_have_a_feature_as_their_index(tmp_path: Path) -> None:
    frame = customers()
    encoding = splits_of(written(tmp_path, frame), features=["store", "plan"]).encoding
    assert encoding is not None
    one = encoded_file(written(tmp_path, frame.set_index("store"), "rows.parquet"), encoding, "--data")
    other = encoded_file(tmp_path / "churn.csv", encoding, "--data")
    assert all(np.array_equal(one[name], other[name]) for name in other)


def test_the_order_of_columns_and_columns_left_out_have_no_effect(tmp_path: Path) -> None:
    frame = customers()
    first = splits_of(written(tmp_path, frame))
    turned = splits_of(written(tmp_path, frame[frame.columns[::-1]].assign(id=range(240))), features={"except": ["id"]})
    named = splits_of(written(tmp_path, frame), features=["tenure", "plan", "price", "signed", "region", "store", "paperless"])
    assert first.fingerprint == turned.fingerprint == named.fingerprint
    assert first.encoding == turned.encoding


def test_other_names_and_words_are_other_data(tmp_path: Path) -> None:
    """Their numbers are the same, but an export would misread rows."""
    frame = customers()
    renamed = frame.rename(columns={"plan": "plam"})
    other = frame.assign(plan=frame["plan"].replace("basic", "bbsic"))
    labels = frame.assign(churned=frame["churned"].replace("yes", "yez"))
    found = [splits_of(written(tmp_path, one)).fingerprint for one in (frame, renamed, other, labels)]
    assert len(set(found)) == 4


def test_a_table_of_numbers_is_a_vector(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path), features=["tenure", "price"])
    assert (splits.inputs.only, splits.inputs.of_a_table) == ((3,), False)
    splits = splits_of(written(tmp_path), features=["plan"])
    assert splits.inputs.label == "categories (1,)" and splits.inputs.of_a_table


# Splits


def test_groups_stay_together(tmp_path: Path) -> None:
    frame = customers()
    splits = splits_of(written(tmp_path, frame), groups="store")
    assert "store" not in columns_of(splits)
    test = splits.test.unseal()
    assert test.groups is not None and 0.15 < len(test) / 240 < 0.35
    raw = raw_of(written(tmp_path, frame), groups="store")
    for seed in range(5):
        parts = whole_groups(raw.groups, raw.y, 60, seed, "here")
        assert not set(raw.groups[parts.left]) & set(raw.groups[parts.taken])
        assert sorted([*parts.left, *parts.taken]) == list(range(240))


def test_groups_of_a_regression_stay_together(tmp_path: Path) -> None:
    frame = customers().assign(churned=np.arange(240) + 0.5)
    splits = splits_of(written(tmp_path, frame), groups="store")
    parts = [part.y[:, 0] - 0.5 for part in (splits.train, splits.validation, splits.test.unseal())]
    stores = [set(frame["store"][part.astype(int)]) for part in parts]
    assert splits.kind == "regression" and not (stores[0] & stores[1] or stores[0] & stores[2] or stores[1] & stores[2])
    assert sum(map(len, parts)) == 240 and all(30 <= len(part) <= 160 for part in parts)


def test_many_groups_are_kept_together_but_not_reported(tmp_path: Path) -> None:
    frame = customers().assign(store=np.arange(240))
    assert splits_of(written(tmp_path, frame), groups="store").test.unseal().groups is None


def test_a_split_by_time_trains_on_the_oldest_and_tests_on_the_newest(tmp_path: Path) -> None:
    frame = customers()
    task = task_of(
        written(tmp_path, frame), split=Split(validation=0.25, test=0.25, by="signed"), features=["tenure", "signed"]
    )
    splits = split(read(task), task)
    parts = [np.asarray(one.x["x"])[:, 0] for one in (splits.train, splits.validation, splits.test.unseal())]
    assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()
    assert list(map(len, parts)) == [120, 60, 60]
    task = task_of(written(tmp_path, frame), split=Split(by="signed"))
    assert "signed" not in columns_of(split(read(task), task)), "a time is a feature only if the spec says so"


def test_rows_of_one_time_stay_together() -> None:
    times = np.array([1.0, 2, 2, 2, 3, 3])
    assert newest(times, 3, "here").taken.tolist() == [4, 5]
    assert newest(times, 4, "here").taken.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(DataError, match="2 of 2 samples have the same time"):
        newest(np.zeros(2), 1, "here")


def test_few_labels_of_a_table(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path), labeled=0.2, samples=150)
    assert splits.unlabeled is not None and len(splits.train) < len(splits.unlabeled)
    assert list(splits.unlabeled) == ["categories", "numbers"]


# What is refused, and what is said


def wrong(tmp_path: Path, text: str | bytes, **changes: Any) -> str:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError) as error:
        splits_of(path, **changes)
    return str(error.value).replace(f"{path}", "bad.csv")


GOOD = "".join(f"{number},{'yes' if number % 2 else 'no'}\n" for number in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.csv is empty; give a line of column names"),
        ("a,churned\n", "bad.csv has column names, but no rows; add one row per sample"),
        ("churned\nyes\n", "bad.csv has only the column 'churned'; give a column of labels and at least one more"),
        ("a;churned\n1;yes\n", "has one column, 'a;churned'; if ';' separates its values, set task.separator: \";\""),
        ("a\tchurned\n1\tyes\n", 'set task.separator: "\\t"'),
        ("a,a,churned\n1,2,yes\n", "has 2 columns 'a'; rename them, or remove all but one"),
        (",churned\n1,yes\n", "column 1 has no name; give it one in the first line"),
        ("a,churned\n1,yes\n1,2,no\n", "Expected 2 fields in line 3, saw 3"),
        ("a,churned\n1,yes,3\n2,no,3\n", "give each line as many values as there are names"),
        ("a,churned\ncafé,yes\n".encode("latin1"), "bad.csv is not UTF-8: byte 0xe9"),
        ("a,churned\n1,yes\n2,yes\n", "column 'churned' has only the label 'yes'; a classifier needs two classes"),
        ("a,churned\n1,yes\n2,\n3,no\n", "column 'churned' row 1 (line 3) has no label (1 of 3 rows have none)"),
        ("a,b,churned\n1,,yes\n2,,no\n", "column 'b' has no value in any row; remove it from the table, or set task.features"),
        ("a,churned\n1,yes\n2,no\n?,no\n", "column 'a' row 2 (line 4) has '?', but 2 of 3 values are numbers"),
        ("a,churned\n1,yes\ninf,no\n", "column 'a' row 1 (line 3) has 'inf'; give a finite number"),
        ("a,churned\n2024-01-01,yes\n2024-13-01,no\n", "row 1 (line 3) has '2024-13-01', which is not a date"),
        ("a,churned\n2024-01-01,yes\nsoon,no\n", "has 'soon', but 1 of 2 values is a date"),
        ("a,b\n1,yes\n", "task.label: there is no column 'churned' in bad.csv; use one of a, b"),
        ("a,Churned\n1,yes\n", "did you mean 'Churned'?"),
        ("a,churned\n1,yes\n2,no\n3,no\n", "class 'yes' has only 1 of all 3 samples, too few for two parts"),
        ("a,churned\n" + "".join(f"1,w{n}\n" for n in range(30)), "30 different labels in 30 rows, too many for classes"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in wrong(tmp_path, text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "task.label is missing: name the column of the labels, one of a, churned"),
        ({"features": ["b"]}, "task.features: there is no column 'b'"),
        ({"features": {"except": ["b"]}}, "task.features: there is no column 'b'"),
        ({"features": {"except": ["a"]}}, "task.features: no column is left for the networks"),
        ({"features": ["a", "churned"]}, "task.features: churned is the label, so a network would read the answer"),
        ({"columns": {"b": "date"}}, "task.columns: there is no column 'b'"),
        ({"columns": {"a": "date"}}, "column 'a' row 0 (line 2) has '0', which is not a date; write dates as 2026-01-31"),
        ({"columns": {"a": "date %q"}}, "use the codes of strptime"),
        ({"columns": {"a": "boolean"}}, "has '2', which is not a boolean; correct it, or set task.columns: {a: category}"),
        ({"groups": "b"}, "task.groups: there is no column 'b'"),
        ({"split": Split(by="b")}, "task.split.by: there is no column 'b'"),
    ],
)
def test_what_is_wrong_with_the_columns_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in wrong(tmp_path, "a,churned\n" + GOOD, **changes)


def test_what_is_wrong_with_groups_and_times_is_said(tmp_path: Path) -> None:
    def said(frame: pd.DataFrame, **changes: Any) -> str:
        return wrong(tmp_path, frame.to_csv(index=False), **changes)

    assert "all samples are of group 'u'" in said(frame_of(n=list(range(40)), g="u"), groups="g")
    pure = said(frame_of(n=list(range(40)), g=YES_NO), groups="g")
    assert "no set of whole groups with about" in pure and "remove task.groups" in pure
    assert "row 3 (line 5) has no value" in said(frame_of(n=1, g=["u", "v", "w", None] * 10), groups="g")
    by = {"split": Split(by="t")}
    assert "'t' holds words, not times" in said(frame_of(n=1, t=["u", "v"] * 20), **by)
    assert "row 1 (line 3) has no value (20 of 40" in said(frame_of(n=1, t=[1, None] * 20), **by)
    assert "40 of 40 samples have the same time" in said(frame_of(n=1, t=1), **by)
    late = frame_of(n=1, t=[0 if word == "no" else 1 for word in YES_NO])
    assert "leaves no sample of class 'yes' left over" in said(late, **by)


def test_lines_are_named_only_where_each_row_is_one(tmp_path: Path) -> None:
    assert "row 1 has no label" in wrong(tmp_path, 'a,churned\n"1\n",yes\n2,\n3,no\n')
    assert "row 1 has no label" in wrong(tmp_path, "a,churned\n1,yes\n\n2,\n3,no\n")


def test_nested_values_are_refused() -> None:
    frame = frame_of(n=1).assign(v=[[1, 2]] * 40)
    with pytest.raises(DataError, match=r"column 'v' row 0 has list '\[1, 2\]'; give one number, date, or word per row"):
        read_table(frame, task_of(Path("x.csv")))


def test_a_column_without_values_in_the_training_rows_is_refused(tmp_path: Path) -> None:
    frame = customers()
    train, _ = _rows(frame, splits_of(written(tmp_path, frame)))
    frame.loc[train, "price"] = np.nan
    with pytest.raises(DataError, match="column 'price' has no value in the 120 training rows"):
        splits_of(written(tmp_path, frame))


def test_columns_that_say_nothing_are_named(tmp_path: Path) -> None:
    frame = customers().assign(**{"customer id": [f"C{n}" for n in range(240)], "row": np.arange(240)[::-1], "country": "DE"})
    found = splits_of(written(tmp_path, frame)).cautions
    assert [text.split(",")[0].split(" in ")[0] for text in found] == [
        "column 'country' has the same value",
        "column 'customer id' has a different value",
        "column 'row' has a different value",
    ]
    assert all(text.endswith("set task.features: {except: [country, customer id, row]}") for text in found)
    assert not splits_of(written(tmp_path)).cautions


def test_bytes_of_another_format_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "churn.parquet"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="churn.parquet is damaged, or of another format"):
        raw_of(path)
    with pytest.raises(DataError, match="is not a file; give a path relative to the spec's directory"):
        raw_of(tmp_path / "none.csv")


# The spec


def spec_at(folder: Path, **task: Any) -> Spec:
    (folder / "spec.yaml").write_text(json.dumps(DOCUMENT | {"task": task}))
    return load(folder / "spec.yaml")


def test_a_table_is_beside_its_spec(tmp_path: Path) -> None:
    spec = spec_at(tmp_path, dataset="churn.csv", label="churned", features={"except": ["store"]}, columns={"plan": "category"})
    assert spec.task.dataset == str(tmp_path / "churn.csv")
    assert load_again(tmp_path, spec) == spec


def load_again(folder: Path, spec: Spec) -> Spec:
    (folder / "again.yaml").write_text(json.dumps(spec.document()))
    return load(folder / "again.yaml")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"dataset": "data.npz", "label": "y"}, "label applies to a table (.csv, .parquet), not to data.npz; remove it"),
        ({"dataset": "data.npz", "split": {"by": "t"}}, "split.by applies to a table"),
        ({"dataset": "a.csv", "layout": "D"}, "layout D applies to arrays, not to a table"),
        ({"dataset": "a.csv", "groups": "g", "split": {"by": "t"}}, "exclude each other; remove one"),
        ({"dataset": "a.csv", "columns": {"a": "text"}}, "'text' is not a kind of column; use number, boolean, category, date"),
        ({"dataset": "a.csv", "separator": ";;"}, "separator"),
    ],
)
def test_what_does_not_fit_a_table_is_said(tmp_path: Path, task: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_at(tmp_path, **task)
    assert message in str(error.value)
