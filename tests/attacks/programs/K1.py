"""The process's own rights."""

from attack import tell

status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
status = {key: value.split() for key, value in status.items()}
rights = [int(status[key][0], 16) for key in ("CapEff", "CapPrm", "CapInh", "CapBnd")]
# gVisor doesn't say either; its suite looks at them with K5 and K2
privileges = status.get("NoNewPrivs", ["1"])[0] == "1"
user = set(status["Uid"] + status["Gid"])
loose = any(rights) or not privileges or user != {"10001"}
tell(loose, f"user {sorted(user)}, capabilities {rights}, no new privileges {privileges}")
