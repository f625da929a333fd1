import pyarrow
import pyarrow.parquet
import pytest

from data.errors import UserError
from pipeline.selection.scores import join_scores, read_scores, score_names


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
