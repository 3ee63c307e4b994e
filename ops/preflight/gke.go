package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// Types of Google Cloud's resources.
const (
	gkeCluster        = "gcp:container/cluster:Cluster"
	gkePool           = "gcp:container/nodePool:NodePool"
	gkeNetwork        = "gcp:compute/network:Network"
	gkeServiceAccount = "gcp:serviceaccount/account:Account"
	gkeGrant          = "gcp:projects/iAMMember:IAMMember"
)

// gkeAuthPlugin is the program that the kubeconfig calls.
const gkeAuthPlugin = "gke-gcloud-auth-plugin"

var gke = cloud{
	name: "gke", program: "gcloud", questions: gkeQuestions,
	errors: messages{
		loggedOut: []string{
			"do not currently have an active account selected", "Reauthentication required", "There was a problem refreshing your current auth tokens",
			"Request had invalid authentication credentials",
		},
		denied: []string{
			"PERMISSION_DENIED", "Permission denied", "does not have permission", "Required \"", "Required '", "forbidden", "caller lacks permission",
		},
		disabled: []string{"SERVICE_DISABLED", "has not been used in project", "not enabled on project"},
		missing:  []string{"was not found", "NOT_FOUND"},
		logIn:    "gcloud auth login",
	},
}

// gkePlan is what a plan needs of Google Cloud.
type gkePlan struct {
	project, location, region string
	clusters, pools           []planned
	networks, accounts        []planned
	grants                    bool
}

func gkeQuestions(p *plan.Plan) (*question, []question) {
	account, ok := provider(p, "gcp")
	if !ok || destroys(p) {
		return nil, nil
	}
	g := &gkePlan{
		project: known(account, "project"), region: known(account, "region"),
		clusters: creating(p, is(gkeCluster)), pools: changing(p, is(gkePool)),
		networks: creating(p, is(gkeNetwork)), accounts: creating(p, is(gkeServiceAccount)),
		grants: len(creating(p, is(gkeGrant))) > 0,
	}
	g.pools = slices.DeleteFunc(g.pools, func(r planned) bool { return r.op == plan.OpUpdate && !gkeGrows(r) })
	if len(g.clusters)+len(g.pools) == 0 || g.project == "" {
		return nil, nil
	}
	for _, r := range slices.Concat(g.clusters, g.pools) {
		g.location = known(r.Resource, "location")
	}
	questions := []question{{"services", g.services}, {"machine-types", g.machineTypes}, {"gpu-quota", g.gpuQuota}, {"cpu-quota", g.cpuQuota},
		{"reservations", g.reservations}}
	if len(g.clusters) > 0 {
		questions = append(questions,
			question{"billing", g.billing}, question{"kubernetes-version", g.version},
			question{"names-exist", g.namesExist}, question{"names-free", g.namesFree}, question{"kubeconfig-program", g.authPlugin})
	}
	return nil, questions
}

// gkeGrows reports whether an update makes a pool larger, or its machines others.
func gkeGrows(r planned) bool {
	return r.old != nil && (count(r.Resource, "autoscaling.totalMaxNodeCount") > count(*r.old, "autoscaling.totalMaxNodeCount") ||
		r.Text("nodeConfig.machineType") != r.old.Text("nodeConfig.machineType"))
}

// gcloud returns the arguments of a command, in the stack's project and with JSON as its output.
func (g *gkePlan) gcloud(args ...string) []string {
	return append(args, "--project", g.project, "--format", "json")
}

// services checks the project's APIs.
func (g *gkePlan) services(ctx context.Context, c *cli) []Check {
	required := []string{"compute.googleapis.com", "container.googleapis.com"}
	if len(g.accounts) > 0 {
		required = append(required, "iam.googleapis.com")
	}
	if g.grants {
		required = append(required, "cloudresourcemanager.googleapis.com")
	}
	if len(g.clusters) > 0 {
		required = append(required, "monitoring.googleapis.com")
	}
	streams := slices.ContainsFunc(g.pools, func(r planned) bool { return r.Bool("nodeConfig.gcfsConfig.enabled") })
	var enabled []struct {
		Config struct{ Name string } `json:"config"`
	}
	if err := c.read(ctx, &enabled, g.gcloud("services", "list", "--enabled")...); err != nil {
		return []Check{unknown("APIs of project "+g.project, err)}
	}
	missing := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return slices.ContainsFunc(enabled, func(e struct {
				Config struct{ Name string } `json:"config"`
			}) bool {
				return e.Config.Name == name
			})
		})
	}
	fix := func(names []string) string {
		return fmt.Sprintf("gcloud services enable %s --project %s", strings.Join(names, " "), g.project)
	}
	var checks []Check
	if off := missing(required); len(off) > 0 {
		checks = append(checks, failed(strings.Join(off, ", "), "not enabled in project "+g.project, fix(off)))
	} else {
		checks = append(checks, passed(strings.Join(required, ", "), "enabled"))
	}
	if streams {
		streaming := []string{"containerfilesystem.googleapis.com", "artifactregistry.googleapis.com"}
		if off := missing(streaming); len(off) > 0 {
			checks = append(checks, warning(strings.Join(off, ", "), "not enabled: image streaming needs it, and images are pulled whole without it", fix(off)))
		} else {
			checks = append(checks, passed(strings.Join(streaming, ", "), "enabled, for image streaming"))
		}
	}
	return checks
}

// billing checks that the project has a billing account.
func (g *gkePlan) billing(ctx context.Context, c *cli) []Check {
	var info struct {
		BillingEnabled bool `json:"billingEnabled"`
	}
	asked := "billing of project " + g.project
	if err := c.read(ctx, &info, "billing", "projects", "describe", g.project, "--format", "json"); err != nil {
		return []Check{unknown(asked, err)}
	}
	if !info.BillingEnabled {
		return []Check{failed(asked, "off: machines and clusters cannot be created", fmt.Sprintf("gcloud billing projects link %s --billing-account "+
			"ACCOUNT", g.project))}
	}
	return []Check{passed(asked, "on")}
}

// version checks the release channel and a version that the cluster states.
func (g *gkePlan) version(ctx context.Context, c *cli) []Check {
	var config struct {
		Channels []struct {
			Channel        string   `json:"channel"`
			DefaultVersion string   `json:"defaultVersion"`
			ValidVersions  []string `json:"validVersions"`
		} `json:"channels"`
		ValidMasterVersions []string `json:"validMasterVersions"`
	}
	var checks []Check
	for _, cluster := range g.clusters {
		channel, version := known(cluster.Resource, "releaseChannel.channel"), known(cluster.Resource, "minMasterVersion")
		asked := fmt.Sprintf("channel %s in %s", channel, g.location)
		if version != "" {
			asked = fmt.Sprintf("version %s of channel %s in %s", version, channel, g.location)
		}
		if err := c.read(ctx, &config, g.gcloud("container", "get-server-config", "--location", g.location)...); err != nil {
			checks = append(checks, unknown(asked, err))
			continue
		}
		valid, standard := config.ValidMasterVersions, ""
		for _, offered := range config.Channels {
			if offered.Channel == channel {
				valid, standard = offered.ValidVersions, offered.DefaultVersion
			}
		}
		list := fmt.Sprintf("gcloud container get-server-config --location %s --project %s", g.location, g.project)
		switch {
		case version != "" && !slices.ContainsFunc(valid, func(v string) bool { return matchesVersion(v, version) }):
			checks = append(checks, failed(asked, "not offered for new clusters", "choose one of `"+list+"`"))
		case version == "" && channel != "" && standard == "":
			checks = append(checks, failed(asked, "the location does not have this channel", "choose one of `"+list+"`"))
		default:
			checks = append(checks, passed(asked, "offered; the default version is %s", standard))
		}
	}
	return checks
}

// matchesVersion reports whether a version such as 1.34.1-gke.1 is the wanted one, of which only the beginning may be given.
func matchesVersion(version, wanted string) bool {
	return version == wanted || strings.HasPrefix(version, wanted+".") || strings.HasPrefix(version, wanted+"-")
}

// namesExist checks the network and subnetwork that the stack does not create.
func (g *gkePlan) namesExist(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, cluster := range g.clusters {
		if network := known(cluster.Resource, "network"); network != "" {
			var found struct{}
			err := c.read(ctx, &found, g.gcloud("compute", "networks", "describe", network)...)
			checks = append(checks, exists("network "+network, err, "set gke.network to one of `gcloud compute networks list --project "+g.project+"`"))
		}
		subnetwork := known(cluster.Resource, "subnetwork")
		if subnetwork == "" {
			continue
		}
		var found struct {
			PrivateIPGoogleAccess bool `json:"privateIpGoogleAccess"`
			SecondaryIPRanges     []struct {
				RangeName string `json:"rangeName"`
			} `json:"secondaryIpRanges"`
		}
		asked := fmt.Sprintf("subnetwork %s in %s", subnetwork, g.region)
		err := c.read(ctx, &found, g.gcloud("compute", "networks", "subnets", "describe", subnetwork, "--region", g.region)...)
		checks = append(checks, exists(asked, err,
			"set gke.subnetwork to one of `gcloud compute networks subnets list --regions "+g.region+" --project "+g.project+"`"))
		if err != nil {
			continue
		}
		for _, path := range []string{"ipAllocationPolicy.clusterSecondaryRangeName", "ipAllocationPolicy.servicesSecondaryRangeName"} {
			name := known(cluster.Resource, path)
			if name == "" {
				continue
			}
			var ranges []string
			for _, r := range found.SecondaryIPRanges {
				ranges = append(ranges, r.RangeName)
			}
			if err = nil; !slices.Contains(ranges, name) {
				err = errMissing
			}
			checks = append(checks, exists(fmt.Sprintf("secondary range %s of %s", name, asked), err,
				"set gke.podsRange and gke.servicesRange to two of: "+orNone(ranges)))
		}
		if !found.PrivateIPGoogleAccess {
			checks = append(checks, warning(asked, "Private Google Access is off: nodes reach Google's APIs and registry only through the NAT",
				fmt.Sprintf("gcloud compute networks subnets update %s --region %s --project %s --enable-private-ip-google-access", subnetwork, g.region, g.project)))
		}
	}
	return checks
}

// exists returns the check of something that has to be there.
func exists(asked string, err error, fix string) Check {
	switch {
	case errors.Is(err, errMissing):
		return failed(asked, "does not exist", fix)
	case err != nil:
		return unknown(asked, err)
	}
	return passed(asked, "exists")
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "(it has none)"
	}
	return strings.Join(names, ", ")
}

// taken returns the check of a name that is to be free. err is nil if something has the name.
func taken(asked string, err error, fix string) Check {
	switch {
	case errors.Is(err, errMissing):
		return passed(asked, "free")
	case err != nil:
		return unknown(asked, err)
	}
	return failed(asked, "there is one already, which the stack does not own", fix)
}

// namesFree checks that nothing has the fixed names of what is created.
func (g *gkePlan) namesFree(ctx context.Context, c *cli) []Check {
	var checks []Check
	free := func(resources []planned, path, what, fix string, list ...string) {
		for _, r := range resources {
			name := known(r.Resource, path)
			if !r.created() || name == "" {
				continue
			}
			filter := "name=" + name
			if path == "accountId" {
				name = fmt.Sprintf("%s@%s.iam.gserviceaccount.com", name, g.project)
				filter = "email=" + name
			}
			var found []struct{ Name, Email string }
			err := c.read(ctx, &found, g.gcloud(append(slices.Clone(list), "--filter", filter)...)...)
			// The filter may also match parts of names.
			if err == nil && !slices.ContainsFunc(found, func(f struct{ Name, Email string }) bool { return f.Name == name || f.Email == name }) {
				err = errMissing
			}
			checks = append(checks, taken(what+" "+name, err, fmt.Sprintf(fix, name, g.project)))
		}
	}
	free(g.clusters, "name", "cluster", "set another cluster.name, or attach to it with cluster.existing: `gcloud container clusters describe %s --project "+
		"%s --location "+g.location+"`",
		"container", "clusters", "list", "--location", g.location)
	free(g.networks, "name", "network", "`gcloud compute networks delete %s --project %s` if nothing uses it, or set another "+
		"cluster.name", "compute", "networks", "list")
	free(g.accounts, "accountId", "service account", "`gcloud iam service-accounts delete %s --project %s` if nothing uses it, or set another cluster.name",
		"iam", "service-accounts", "list")
	return checks
}

// authPlugin checks the program of the kubeconfig.
func (g *gkePlan) authPlugin(_ context.Context, c *cli) []Check {
	return []Check{onPath(c, gkeAuthPlugin, "gcloud components install "+gkeAuthPlugin)}
}

// onPath checks for a program that the kubeconfig calls. Without it the update fails once the cluster is there.
func onPath(c *cli, program, install string) Check {
	if !c.runner.Has(program) {
		return failed(program, "not on the PATH: the update could not log in to the cluster that it creates", install)
	}
	return passed(program, "on the PATH")
}
