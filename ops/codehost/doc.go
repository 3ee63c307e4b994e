// Package codehost keeps one comment on a pull request, or one open issue, up to date on GitHub or GitLab. It finds
// its own entries by a marker, an HTML comment that readers do not see.
package codehost
