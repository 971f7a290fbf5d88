#!/bin/sh
# report-outcome.sh LABEL: keep one issue with this label open while a workflow fails.
#
# RESULTS has the results of the jobs. If a job failed, the script opens an issue, or comments on the open one, and
# mentions NOTIFY, for example @octocat or @org/team: GitHub's mail about a run goes to whoever started it, here a bot.
# If no job failed, it closes the open issue. Needs gh with GH_TOKEN, and the variables of a job.
set -eu
label=$1
issues=repos/$GITHUB_REPOSITORY/issues
run=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID

comment() {
  gh api --method POST "$issues/$number/comments" --raw-field body="$1" --jq .html_url
}

number=$(gh api "$issues?state=open&labels=$label" --jq '.[0].number // empty')
case $RESULTS in
  *failure* | *cancelled*) # GitHub cancels a job that exceeds its timeout
    if [ "$number" ]; then
      comment "Failed again: $run ${NOTIFY:-}"
    else
      gh api --method POST "$issues" --raw-field title="$GITHUB_WORKFLOW fails" --raw-field body="Failed: $run ${NOTIFY:-}" \
        --raw-field labels[]="$label" --jq .html_url
    fi ;;
  *)
    if [ "$number" ]; then
      comment "It works again: $run"
      gh api --method PATCH "$issues/$number" --raw-field state=closed --silent
    fi ;;
esac
