// Package verify checks the path of a deployed stack from the API server to the HPA, one stage after the other, with a
// measurement of each. It stops at the first stage that fails: all later ones would fail for the same reason.
package verify
