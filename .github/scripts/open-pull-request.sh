#!/bin/sh
# open-pull-request.sh BODY_FILE: commit the work tree to the branch refresh, and open a pull request for it.
#
# If the pull request is already open, its title and body are updated. The branch is overwritten each time.
# Needs gh with GH_TOKEN, GITHUB_REPOSITORY, and GITHUB_REF_NAME, the branch to change.
set -eu
body=$1
branch=refresh
title="Refresh pinned facts"
pulls=repos/$GITHUB_REPOSITORY/pulls

git switch --quiet --force-create "$branch"
git add --all
if git diff --cached --quiet; then
  echo "Nothing has changed: no pull request"
  exit
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
