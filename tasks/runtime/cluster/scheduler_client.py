"""Talk to luigid, and wait in words while it can't be reached.

Luigi's own client gives up after a few attempts, and prints a traceback. The tasks that run meanwhile go on.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from luigi.rpc import RemoteScheduler, RPCError, _urljoin

from tasks.runtime.cluster.errors import SchedulerLost
from tasks.runtime.cluster.task_ids import TaskIds

RETRY_S = 3.0
REQUEST_S = 5.0
"""A request that takes longer is repeated. Pings are requests, too, and luigid gives up a host that is silent."""
AWAY_S = 10.0
"""Longer than this without an answer, and luigid may have given this host's tasks to others: it pings every second."""


class ResultIsThere(Exception):
    """Other hosts finished the run while luigid could not be reached."""


class PatientScheduler(RemoteScheduler):
    """luigid as a worker sees it: a call returns once luigid has answered.

    Args:
        url: where it is.
        ids: translates the ids of tasks.
        say: prints a line.
        timeout_s: how long to wait for an answer, in seconds.
        is_over: returns whether the result is there; asked while luigid can't be reached.
    """

    def __init__(
        self,
        url: str,
        ids: TaskIds,
        *,
        say: Callable[[str], None],
        timeout_s: float,
        is_over: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(url, connect_timeout=REQUEST_S)  # type: ignore[no-untyped-call]  # Luigi has no types here
        self.ids = ids
        self.say, self.timeout_s, self.is_over, self.sleep = say, timeout_s, is_over, sleep
        self.returns = 0
        """How often this host was away (frozen, cut off, without luigid), or luigid forgot it."""
        self.after_ping: Callable[[], None] = lambda: None
        """Called in the thread that pings."""
        self._last_answer: float | None = None
        self._hurried = threading.local()

    if TYPE_CHECKING:  # Luigi adds a method for each of the scheduler's at run time

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Let calls of this thread fail at once while the block runs.

        Raises:
            RPCError: luigid did not answer.
        """
        self._hurried.now = True
        try:
            yield
        finally:
            self._hurried.now = False

    def ping(self, **options: Any) -> Any:
        """Tell luigid that this worker lives; Luigi does so in a thread of its own, and again if it fails."""
        with self.hurried():
            answer = super().ping(**options)  # type: ignore[misc]  # Luigi adds it at run time
        self.after_ping()
        return answer

    def _request(self, url: str, data: dict[str, Any], attempts: int = 3, allow_null: bool = True) -> Any:
        try:
            response = super()._request(url, self.ids.outgoing(data), attempts, allow_null)  # type: ignore[no-untyped-call]
        except json.JSONDecodeError as error:
            raise self._no_luigid("its answer is not JSON") from error
        return self.ids.incoming(response)

    def _fetch(self, url_suffix: str, body: dict[str, str]) -> str:
        since: float | None = None
        while True:
            try:
                text: str = self._fetcher.fetch(_urljoin(self._url, url_suffix), body, self._connect_timeout)
            # Also what Luigi's client without the package requests lets through: a connection that is closed midway.
            except (OSError, http.client.HTTPException) as error:
                reason = self._explain(error)
                if getattr(self._hurried, "now", False):
                    raise RPCError(reason, error) from error
                since = self._wait(since, reason)
                continue
            self._note_answer(since)
            return text

    def _wait(self, since: float | None, reason: str) -> float:
        """Wait a little for luigid; return since when it has been out of reach."""
        now = _clock()
        if since is None:
            since = now
            self.say(
                f"luigid at {self._url} does not answer ({reason}). Waiting for it; tasks that run here go on."
            )
        if self.is_over():
            raise ResultIsThere
        if now - since > self.timeout_s:
            raise SchedulerLost(
                f"luigid at {self._url} has not answered for {self.timeout_s:.0f} s ({reason})",
                "Start it, or correct --scheduler-host and --scheduler-port, and run the same command again",
            )
        self.sleep(RETRY_S)
        return since

    def _note_answer(self, since: float | None) -> None:
        now = _clock()
        if since is not None:
            self.say(f"luigid at {self._url} answers again, after {now - since:.0f} s.")
        if self._last_answer is not None and now - self._last_answer > AWAY_S:
            self.returns += 1
        self._last_answer = now

    def _explain(self, error: Exception) -> str:
        """Return why a call failed, in a few words; raise where no waiting helps."""
        status = getattr(getattr(error, "response", error), "status_code", None) or getattr(
            error, "code", None
        )
        if status is not None and 400 <= status < 500:
            raise self._no_luigid(f"it answers {status}") from error
        if status is not None:
            return f"it answers {status}"
        text = str(error)
        for words in (
            "Name or service not known",
            "Temporary failure in name resolution",
            "No route to host",
        ):
            if words in text:
                return words
        if "refused" in text:
            return "connection refused"
        if "closed" in text or "reset" in text:
            return "connection closed"
        return "no answer in time" if "timed out" in text.lower() else type(error).__name__

    def _no_luigid(self, reason: str) -> SchedulerLost:
        return SchedulerLost(
            f"{self._url} is not a luigid: {reason}", "Correct --scheduler-host and --scheduler-port"
        )


def _clock() -> float:
    """Return seconds that also count while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
