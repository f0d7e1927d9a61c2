"""A replay of freshet from the archive to the cutover, as an Airflow 3 DAG.

    archive -> verify -> start -> compare -> cutover -> backfill

Every task is a call of `freshet` that may be repeated: what is there already is gone on with or left as it is. So a failed run
is cleared and run again, and a run without approval is followed by one with it, under the same name.

Exit codes of `freshet`, and what becomes of the task:
    0  done
    1  failed        the task fails and is retried: the same call goes on where it stood
    2  wrong call    the task fails at once: repeating it can't help
    3  done, but a check did not hold: the task fails at once, with what did not hold (or is skipped, `on_difference`)
What changes the live system (cutover, backfill) runs only where `approved` names it; else it is skipped.
"""

import json
import os
import shlex
import subprocess
from datetime import timedelta

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk import Param, dag, get_current_context, task

DONE, FAILED, WRONG_CALL, CHECK_FAILED = 0, 1, 2, 3


def freshet(*args, check_failed=AirflowFailException):
    """Calls `freshet ... --json` and gives its answer. FRESHET_COMMAND: how it is called here (default: freshet).

    Where it is (brokers, Redis, ClickHouse) it takes from FRESHET_... variables of the worker, or its --config file.
    """
    call = [*shlex.split(os.environ.get("FRESHET_COMMAND", "freshet")), *args, "--json"]
    print("$", shlex.join(call), flush=True)
    done = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    print("\n".join(said[-50:]), flush=True)
    print(done.stdout[-4000:], flush=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    answer = json.loads(lines[-1]) if lines and done.returncode in (DONE, CHECK_FAILED) else None
    what, reason = f"freshet {' '.join(args[:2])}", said[-1] if said else "it said nothing"
    if done.returncode == WRONG_CALL:
        raise AirflowFailException(f"{what}, wrong call: {reason}")
    if done.returncode == CHECK_FAILED:
        raise check_failed(f"{what} is done, but a check did not hold: {unheld(answer) or reason}")
    if done.returncode != DONE:
        raise AirflowException(f"{what} failed ({done.returncode}): {reason}")
    return answer


def unheld(answer):
    """What did not hold, as the answers of compare, verify and backfill tell it."""
    checks = [f"{c['name']} ({c['what']}): {c['value']}, at least {c['least']}" for c in answer.get("checks", []) if c["holds"] is False]
    faults = [fault["message"] for fault in answer.get("faults", [])]
    return "; ".join([*checks, *faults, *answer.get("missing", [])][:20])


def params():
    return get_current_context()["params"]


def options(p):
    """--set of what the replay tries."""
    return [part for pair in p["set"] for part in ("--set", pair)]


def only_if_approved(step):
    if step not in params()["approved"]:
        raise AirflowSkipException(
            f"not approved: run the DAG again with approved: [..., {step!r}]; what is done already is not done again"
        )


@dag(
    dag_id="freshet_backfill",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": int(os.environ.get("FRESHET_RETRIES", "2")),
        "retry_delay": timedelta(minutes=1),
    },
    params={
        "name": Param("airflow", type="string", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        "archive": Param("/backup/freshet", type="string", description="the archive's folder, on the worker's disk"),
        "from": Param("earliest", type="string", description="where the replay begins"),
        "to": Param("end", type="string"),
        "topology": Param("all", type="string"),
        "set": Param([], type="array", description="options to try, option=value"),
        "workers": Param(1, type="integer", minimum=1),
        "tables": Param("drift", type="string", description="of the backfill"),
        "backfill_from": Param(None, type=["null", "string"]),
        "backfill_to": Param(None, type=["null", "string"]),
        "backfill_flags": Param([], type="array", description="e.g. --profile evidently"),
        "compare_flags": Param([], type="array", description="e.g. --tolerance rbo=.6"),
        "approved": Param([], type="array", description="what may change the live system: cutover, backfill"),
        "on_difference": Param("fail", enum=["fail", "skip"], description="where compare finds a difference"),
    },
    doc_md=__doc__,
)
def freshet_backfill():
    @task
    def archive():
        """Takes up what came since; a second writer is refused."""
        return freshet("archive", "--to", params()["archive"])["records"]

    @task
    def verify():
        freshet("archive", "verify", params()["archive"])

    @task(execution_timeout=timedelta(hours=12))
    def start():
        """Begins the replay, or goes on with it; one that is done stays as it is."""
        p = params()
        flags = ["--source", p["archive"], "--from", p["from"], "--to", p["to"], "--workers", str(p["workers"])]
        if p["topology"] != "all":
            flags += ["--topology", p["topology"]]
        freshet("replay", "start", p["name"], "--resume", *flags, *options(p))

    @task
    def compare():
        """Gives whether it held: nothing where it was skipped."""
        p = params()
        skip = p["on_difference"] == "skip"
        freshet(
            "replay", "compare", p["name"],
            *p["compare_flags"],
            check_failed=AirflowSkipException if skip else AirflowFailException,
        )
        return True

    @task
    def cutover():
        only_if_approved("cutover")
        freshet("replay", "cutover", params()["name"])

    # also where the cutover was skipped for want of approval
    @task(trigger_rule="none_failed")
    def backfill(report):
        if report is None:
            raise AirflowSkipException("compare found a difference")
        only_if_approved("backfill")
        p = params()
        span = ["--from", p["backfill_from"], "--to", p["backfill_to"]]
        freshet(
            "replay", "backfill", "--table", p["tables"], *span, "--source", p["archive"],
            *p["backfill_flags"], *options(p),
        )

    compared = compare()
    archive() >> verify() >> start() >> compared >> cutover() >> backfill(compared)


freshet_backfill()
