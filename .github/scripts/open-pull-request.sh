#!/bin/sh
# open-pull-request.sh PATCH BODY_FILE: apply a patch, commit it to the branch refresh, and open a pull request for it.
#
# The patch may only change the content of files that .github/refresh-paths.txt lists.
# If the pull request is already open, its title and body are updated. The branch is overwritten each time.
# Needs gh with GH_TOKEN, GITHUB_REPOSITORY, and GITHUB_REF_NAME, the branch to change.
set -eu
patch=$1
body=$2
branch=refresh
title="Refresh pinned facts"
pulls=repos/$GITHUB_REPOSITORY/pulls

git switch --quiet --force-create "$branch"
allowed=$(cat .github/refresh-paths.txt)
git apply --index "$patch"
if unexpected=$(git diff --cached --name-only --no-renames | grep --fixed-strings --line-regexp --invert-match -e "$allowed"); then
  echo "::error::The patch changes a file that .github/refresh-paths.txt does not list:" $unexpected
  exit 5
fi
summary=$(git diff --cached --summary)
if [ "$summary" ]; then
  echo "::error::The patch does more than change the content of files:$summary"
  exit 5
fi
# With the date of the base commit, the same changes give the same commit, and the push does nothing.
date=$(git log -1 --format=%cI)
export GIT_AUTHOR_DATE="$date" GIT_COMMITTER_DATE="$date"
git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  commit --quiet --no-verify --message "$title"

remote_tip=$(git ls-remote origin "refs/heads/$branch" | cut -f1)
git -c credential.helper= -c credential.helper='!gh auth git-credential' \
  push --quiet --no-verify --force-with-lease="refs/heads/$branch:$remote_tip" origin "HEAD:refs/heads/$branch"

number=$(gh api "$pulls?state=open&base=$GITHUB_REF_NAME&head=${GITHUB_REPOSITORY%/*}:$branch" --jq '.[0].number // empty')
if [ "$number" ]; then
  gh api --method PATCH "$pulls/$number" --raw-field title="$title" --field body=@"$body" --jq .html_url
else
  gh api --method POST "$pulls" --raw-field head="$branch" --raw-field base="$GITHUB_REF_NAME" \
    --raw-field title="$title" --field body=@"$body" --jq .html_url
fi
