#!/usr/bin/env bash
# An experiment on a Slurm cluster: an array job with one task for each part, and a job that merges them.
#
#   experiments/cluster/slurm.sh FILE PARTS DIR [OPTION-OF-SBATCH...]
#   experiments/cluster/slurm.sh experiments/files/2011.toml 8 /shared/2011 --time=10 --cpus-per-task=4
#
# Task I makes part I of PARTS in DIR/part-I, and writes what jitterbug prints to DIR/part-I.log. The merge begins when
# all tasks have ended, however they ended. It puts the parts that there are together in DIR/merged, prints the report
# to DIR/merged.log, and has the exit status of `jitterbug experiment merge`. This script prints the numbers of the two
# jobs.
#
# Restart: give the same command again. Each task goes on with its part (`experiment resume`), and DIR/merged is
# replaced. A task that Slurm requeues (preemption, a lost node) goes on as well. 60 seconds before its time limit a task
# is told to end: the runs in progress are not recorded, and the task ends with 143.
#
# A task ends with 0 if all runs of its part were made, whether they passed or failed; else with jitterbug's status.
# jitterbug is taken from PATH, or JITTERBUG names it. A task runs as many machines side by side as it has CPUs
# (--cpus-per-task); give `--exclusive` where other jobs of the node should not change the timing.
#
# What the nodes need: /dev/kvm that the user can open (group kvm); FILE, its guests and DIR at the same path. One task
# at a time writes to a part, but DIR has SQLite databases with a write-ahead log: its file system must support flock(2)
# and mmap(2) with MAP_SHARED (Lustre: mount option flock).
set -euo pipefail

fail() {
    echo "slurm.sh: $1" >&2
    exit 2
}

submit() { # FILE PARTS DIR OPTION...
    [ $# -ge 3 ] || fail "give FILE PARTS DIR [OPTION-OF-SBATCH...]; the head of this script describes them"
    local file parts=$2 dir
    [ -f "$1" ] || fail "$1: no such file; give an experiment file"
    # sbatch refuses more tasks than MaxArraySize of the cluster allows (1000 by default).
    [[ $parts =~ ^[1-9][0-9]{0,3}$ ]] || fail "$parts: not a number of parts from 1 to 9999"
    command -v sbatch >/dev/null || fail "there is no sbatch: run this where jobs are submitted"
    command -v "${JITTERBUG:-jitterbug}" >/dev/null ||
        fail "${JITTERBUG:-jitterbug}: not found; install it on all nodes, or name it by JITTERBUG"
    file=$(realpath "$1")
    mkdir -p "$3"
    dir=$(realpath "$3")
    # In names of log files, Slurm reads % and \ as the begin of its own patterns.
    [[ $dir != *[%\\]* ]] || fail "$dir: the path has % or \\; take another"
    # FILE and PARTS of a folder stay the same: a part of 4 can't go on as a part of 8.
    local all=$parts$'\n'$file
    [ ! -e "$dir/parts" ] || [ "$(cat "$dir/parts")" = "$all" ] ||
        fail "$dir has parts of another experiment or of another number: see $dir/parts; take another folder"
    echo "$all" >"$dir/parts"
    local name array merge
    name=$(basename "$file" .toml)
    array=$(sbatch --parsable --job-name "$name" --array "1-$parts" --requeue --open-mode append --signal TERM@60 \
        --output "$dir/part-%a.log" "${@:4}" "$0" part "$file" "$parts" "$dir")
    array=${array%%;*} # behind a semicolon, the cluster's name
    merge=$(sbatch --parsable --job-name "$name-merge" --dependency "afterany:$array" --output "$dir/merged.log" \
        "${@:4}" "$0" merge "$dir")
    echo "$array ${merge%%;*}"
}

part() { # FILE PARTS DIR: what a task does
    local file=$1 parts=$2 dir=$3 shard=$SLURM_ARRAY_TASK_ID cpus=${SLURM_CPUS_PER_TASK:-1}
    local folder=$dir/part-$shard command
    if [ -e "$folder/campaign.sqlite" ]; then
        command=(resume "$folder" --jobs "$cpus")
    else
        command=(run "$file" --shard "$shard/$parts" --out "$folder" --jobs "$cpus")
    fi
    echo "slurm.sh: part $shard/$parts on $(hostname): experiment ${command[0]}"
    # A step of its own: Slurm sends signals to steps, and not to this shell.
    local status=0
    srun --ntasks 1 --cpus-per-task "$cpus" "${JITTERBUG:-jitterbug}" experiment "${command[@]}" || status=$?
    [ $status != 1 ] || status=0 # runs that failed are a result
    exit $status
}

merge() { # DIR: what the job behind the tasks does
    local dir=$1 parts shard status=0 folders=()
    parts=$(head -n 1 "$dir/parts")
    for ((shard = 1; shard <= parts; shard++)); do
        if [ -e "$dir/part-$shard/campaign.sqlite" ]; then
            folders+=("$dir/part-$shard")
        else
            echo "slurm.sh: WARNING: part $shard of $parts is missing, see $dir/part-$shard.log" >&2
        fi
    done
    [ ${#folders[@]} -gt 0 ] || fail "$dir: no part was begun: nothing to merge"
    rm -rf "$dir/merged.new"
    "${JITTERBUG:-jitterbug}" experiment merge "${folders[@]}" --out "$dir/merged.new" || status=$?
    [ -e "$dir/merged.new/campaign.sqlite" ] || exit $status
    rm -rf "$dir/merged"
    mv "$dir/merged.new" "$dir/merged"
    exit $status
}

# In a job, Slurm runs a copy of this script with the arguments that `submit` gave.
case ${1-} in
part | merge) [ "${SLURM_JOB_ID-}" ] || fail "$1: give FILE PARTS DIR; the head of this script describes them" ;;&
part) part "${@:2}" ;;
merge) merge "${@:2}" ;;
*) submit "$@" ;;
esac
