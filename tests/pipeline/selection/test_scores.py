import pyarrow
import pyarrow.parquet
import pytest

from data.errors import UserError
from pipeline.selection.rules import check_unambiguous, parse_rule
from pipeline.selection.score_files import hash_scores, read_scores, score_names
from pipeline.selection.scores import join_scores


def write(path, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_and_csv_are_read_and_texts_are_no_scores(tmp_path):
    columns = {"key": ["a", "b"], "beauty": [1, 2], "label": ["x", "y"], "noise2": [0.5, 0.25]}
    table = read_scores(write(tmp_path / "s.parquet", columns))
    assert score_names(table) == ["beauty", "noise2"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a"], "x": [1]}, "none says what is scored"),
        ({"key": ["a"], "x": ["b"]}, "no column of numbers"),
    ],
)
def test_a_file_without_names_or_numbers_is_refused(tmp_path, columns, message):
    with pytest.raises(UserError, match=message):
        read_scores(write(tmp_path / "s.parquet", columns))


@pytest.mark.parametrize("content", [b"", b"PAR1 but no table"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "s.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match="can't be read"):
        read_scores(path)


class NoCrops:
    def __len__(self):
        return 1

    def texts(self, column, rows):
        return ["other"]


@pytest.mark.parametrize(
    ("keys", "message"), [(["a", "a"], "scores a twice"), (["a", "b"], "none of the 2 names")]
)
def test_scores_of_nothing_and_twice_are_refused(tmp_path, keys, message):
    path = write(tmp_path / "s.parquet", {"key": keys, "x": [1, 2]})
    with pytest.raises(UserError, match=message):
        join_scores(NoCrops(), path)


@pytest.mark.parametrize(
    ("text", "names", "scores"),
    [
        ("n01/n01_18.JPEG\n\nn01/n01_36.JPEG\n", ["n01/n01_18.JPEG", "n01/n01_36.JPEG"], [1, 1]),
        ("/DF2K/0001.png\t12.5\n/DF2K/0002.png\t1e2\n", ["/DF2K/0001.png", "/DF2K/0002.png"], [12.5, 100]),
        ("a b.png: 0.25\r\nc.png 3\r\n", ["a b.png", "c.png"], [0.25, 3]),
        ("\ufeffx.png,-.5\n", ["x.png"], [-0.5]),
    ],
)  # fmt: skip
def test_texts_hold_lists_and_scores(tmp_path, text, names, scores):
    path = tmp_path / "DiverSeg-I list.txt"
    path.write_text(text, encoding="utf-8", newline="")
    table = read_scores(path)
    assert table["name"].to_pylist() == names
    assert score_names(table) == ["DiverSeg-I_list"] and table["DiverSeg-I_list"].to_pylist() == scores
    renamed = path.rename(tmp_path / "other.txt")
    assert hash_scores(renamed).split()[1] == "other"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "is empty"),
        (b"a.png 1\n\nb.png\n", "none at the end of line 3: 'b.png'"),
        (b"\xff\xfe", "can't be read"),
    ],
)
def test_a_text_that_is_neither_a_list_nor_scores_is_refused(tmp_path, content, message):
    path = tmp_path / "s.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_scores(path)


def test_a_rule_about_one_of_two_metrics_of_a_name_is_refused():
    rules = [parse_rule("clipiqa+_rn50_512 >= 0.5"), parse_rule("noise <= p95")]
    check_unambiguous(rules, ["noise", "clipiqa+_rn50_512", "beauty", "beauty"])
    with pytest.raises(UserError, match="'noise <= p95' may mean several: 2 metrics"):
        check_unambiguous(rules, ["noise", "clipiqa+_rn50_512", "noise"])
