# Every target is one call. Logic lives in etl/ and scripts/. `make` alone prints the targets.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
# Commands are many and short: without its bytecode Python compiles the packages again for each.
unexport PYTHONDONTWRITEBYTECODE
# Meant for other programs: they lead to other packages, or take from ours what they need.
unexport PYTHONHOME PYTHONOPTIMIZE PYTHONPATH PYTHONSAFEPATH PYTHONWARNINGS

PY := .venv/bin/python
# A Python that went away under the environment leaves the stamp behind: look at both.
READY := .venv/.ready $(if $(wildcard $(PY)),,remake)
# What the bench measures next to the warehouse, only where it is asked for.
PEERS_READY := $(if $(filter 1,$(PEERS)),.venv-peers/.ready)
LOCK := .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(if $(filter yes,$(UPGRADE)),--upgrade) --custom-compile-command 'make lock'

# A variable on the command line that no target asked for knows is a typing error: not obeyed,
# and not passed over. What a target takes is said in its help, what all take in .env.example.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
# A make that a target starts has targets and variables of its own.
MAKEOVERRIDES :=
# A value as one word of the shell.
quoted = '$(subst ','\'',$(1))'
# The value of a variable, as one word of the shell, as it was given: $5 is no variable of make.
given = $(call quoted,$(value $(1)))
WRONG := $(shell env $(foreach name,$(GIVEN),$(call quoted,GIVEN_$(name)=$(value $(name)))) awk -v given='$(GIVEN)' -v targets='$(or $(MAKECMDGOALS),help)' -f scripts/make_variables.awk Makefile .env.example)
$(if $(WRONG),$(error $(WRONG)))
# Settings reach the programs as they were given, too: else make would expand them for the environment.
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name)))$(eval export $(name)))

##@ Start here
help: ## Show this help
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make the Python environment in .venv (other targets do it when needed)

full-load: $(READY) ## Rebuild the warehouse from every batch in the inbox [CONFIRM_SNAPSHOT= FORGET=yes ALLOW_FUTURE=]
	@$(PY) -m etl full-load $(if $(value CONFIRM_SNAPSHOT),--confirm-snapshot $(call given,CONFIRM_SNAPSHOT)) $(if $(filter yes,$(FORGET)),--forget) $(if $(value ALLOW_FUTURE),--allow-future $(call given,ALLOW_FUTURE))

incremental: $(READY) ## Load the batches that are not loaded yet [CONFIRM_SNAPSHOT= RECHECK=yes ALLOW_FUTURE=]
	@$(PY) -m etl incremental $(if $(value CONFIRM_SNAPSHOT),--confirm-snapshot $(call given,CONFIRM_SNAPSHOT)) $(if $(filter yes,$(RECHECK)),--recheck) $(if $(value ALLOW_FUTURE),--allow-future $(call given,ALLOW_FUTURE))

dq-check: $(READY) ## Run the quality checks, of very many claims on a share; fails if critical or refused [ALL=1]
	@$(PY) -m etl dq-check $(if $(filter 1,$(ALL)),--all)

dq-report: $(READY) ## Write a page on data quality, results of the checks and quarantine [TO=]
	@$(PY) -m etl dq-report $(if $(value TO),--to $(call given,TO))

dq-threshold: $(READY) ## Change what a check is judged by [CHECK= COUNT= SHARE= SEVERITY= WHY= RESET=yes]
	@$(PY) -m etl dq-threshold --check $(call given,CHECK) $(if $(value COUNT),--count $(call given,COUNT)) $(if $(value SHARE),--share $(call given,SHARE)) $(if $(value SEVERITY),--severity $(call given,SEVERITY)) --why $(call given,WHY) $(if $(filter yes,$(RESET)),--reset)

report: $(READY) ## Write a page on the business: members, cost, where the money goes [TO= AS_KNOWN=load]
	@$(PY) -m etl report $(if $(value TO),--to $(call given,TO)) $(if $(value AS_KNOWN),--as-known $(call given,AS_KNOWN))

dictionary: $(READY) ## Write the data dictionary with lineage, and files for catalogs [TO=]
	@$(PY) -m etl dictionary $(if $(value TO),--to $(call given,TO))

psql: $(READY) ## Open psql on the warehouse, as its owner or as a login of a role [ROLE= STATES= REPLICA= ARGS=]
	@$(PY) -m etl psql $(if $(value REPLICA),--replica $(call given,REPLICA)) $(if $(value ROLE),--role $(call given,ROLE)) $(if $(value STATES),--states $(call given,STATES)) $(if $(value ARGS),-- $(ARGS))

##@ Server
up: $(READY) ## Start PostgreSQL (other targets do it when needed)
	@$(PY) -m etl up

down: $(READY) ## Stop the embedded PostgreSQL and its replicas, unless a run is at work [FORCE=yes]
	@$(PY) -m etl down $(if $(filter yes,$(FORCE)),--force)

status: $(READY) ## Show what was refused or waits, how the warehouse is, and what to do next [ALL=yes]
	@$(PY) -m etl status $(if $(filter yes,$(ALL)),--all)

health: $(READY) ## Judge the service levels, for cron: exit 0, 10 (warning) or 11 (breach) [JSON=yes]
	@$(PY) -m etl.cli.health health $(if $(filter yes,$(JSON)),--json)

db-url: $(READY) ## Print the connection URL, the owner's or that of a login of a role [ROLE= STATES= REPLICA=]
	@$(PY) -m etl db-url $(if $(value REPLICA),--replica $(call given,REPLICA)) $(if $(value ROLE),--role $(call given,ROLE)) $(if $(value STATES),--states $(call given,STATES))

replica-up: $(READY) ## Have a replica of the embedded server to read from, or N of them: made, started or fixed [N=]
	@$(PY) -m etl replica-up $(if $(value N),--n $(call given,N))

replica-down: $(READY) ## Stop and delete the replicas, or number N alone [N=]
	@$(PY) -m etl replica-down $(if $(value N),--n $(call given,N))

cluster-up: $(READY) ## Have a cluster of Citus, a coordinator and two workers, which commands use from now on; print its URL
	@$(PY) -m etl cluster-up

cluster-down: $(READY) ## Stop the cluster, use the embedded server again; CONFIRM deletes its database [CONFIRM=yes FORCE=yes]
	@$(PY) -m etl cluster-down $(if $(filter yes,$(CONFIRM)),--confirm) $(if $(filter yes,$(FORCE)),--force)

cluster-status: $(READY) ## List the nodes of the cluster: whether each runs, its port, shards and size
	@$(PY) -m etl cluster-status

##@ On call
incidents: $(READY) ## List incidents, times to detect and repair, and error budgets
	@$(PY) -m etl.cli.health incidents

incident-ack: $(READY) ## Take an incident on, so that its alert is not repeated [ID= WHO=]
	@$(PY) -m etl.cli.health incident-ack --id $(call given,ID) --who $(call given,WHO)

pir: $(READY) ## Write the review of an incident, filled in from the ledger [ID=]
	@$(PY) -m etl.cli.health pir --id $(call given,ID)

##@ Who may see what
role-add: $(READY) ## Give a login a role, and make it if need be [LOGIN= ROLE= STATES=]
	@$(PY) -m etl role-add --login $(call given,LOGIN) $(if $(value ROLE),--role $(call given,ROLE)) $(if $(value STATES),--states $(call given,STATES))

role-drop: $(READY) ## Take a login's roles, and drop it [LOGIN=]
	@$(PY) -m etl role-drop --login $(call given,LOGIN)

roles: $(READY) ## List the roles and who has them
	@$(PY) -m etl roles

##@ Feeds
seed: $(READY) ## Write synthetic feeds into the inbox [MEMBERS= YEARS= SEED= DIRTY= GZIP=yes]
	@$(PY) scripts/generate_seed_data.py $(if $(value MEMBERS),--members $(call given,MEMBERS)) $(if $(value YEARS),--years $(call given,YEARS)) $(if $(value SEED),--seed $(call given,SEED)) $(if $(value DIRTY),--dirty $(call given,DIRTY)) $(if $(filter yes,$(GZIP)),--gzip)

seed-increment: $(READY) ## Write the next dated batch of synthetic feeds [DIRTY=]
	@$(PY) scripts/generate_seed_data.py --increment $(if $(value DIRTY),--dirty $(call given,DIRTY))

simulate: $(READY) ## Write the batches of the next days [DAYS=30 DIRTY=]
	@$(PY) scripts/generate_seed_data.py --days $(if $(value DAYS),$(call given,DAYS),30) $(if $(value DIRTY),--dirty $(call given,DIRTY))

sender-draft: $(READY) ## Guess a contract from a file of a new sender, and write it to edit [FILE= FEED= NAME=]
	@$(PY) -m etl sender-draft --file $(call given,FILE) $(if $(value FEED),--feed $(call given,FEED)) $(if $(value NAME),--name $(call given,NAME))

sender-try: $(READY) ## Load a file of a sender into a database that is dropped again [FILE= CONTRACT= MANIFEST=]
	@$(PY) -m etl sender-try --file $(call given,FILE) $(if $(value CONTRACT),--contract $(call given,CONTRACT)) $(if $(value MANIFEST),--manifest $(call given,MANIFEST))

##@ One stage at a time
migrate: $(READY) ## Bring the schema up to date
	@$(PY) -m etl migrate

stage: $(READY) ## Load the feeds of pending batches into staging
	@$(PY) -m etl stage

dims: $(READY) ## Merge staging into the dimensions
	@$(PY) -m etl dims

facts: $(READY) ## Load the facts
	@$(PY) -m etl facts

cubes: $(READY) ## Refresh the cubes
	@$(PY) -m etl cubes

restate: $(READY) ## Rebuild a dimension's history from staging [DIM=member|plan|provider FROM= SHOW=yes]
	@$(PY) -m etl restate --dim $(call given,DIM) $(if $(value FROM),--from $(call given,FROM)) $(if $(filter yes,$(SHOW)),--show)

retention: $(READY) ## Show rows older than 10 years, or YEARS; archive and delete them [YEARS= WHY= CONFIRM=yes]
	@$(PY) -m etl retention $(if $(value YEARS),--years $(call given,YEARS)) $(if $(value WHY),--why $(call given,WHY)) $(if $(filter yes,$(CONFIRM)),--confirm)

archive-staging: $(READY) ## Show settled claims in staging of batches from before a day; move them to files [BEFORE=2025-01-01 CONFIRM=yes, or BACK=yes]
	@$(PY) -m etl archive-staging $(if $(value BEFORE),--before $(call given,BEFORE)) $(if $(filter yes,$(CONFIRM)),--confirm) $(if $(filter yes,$(BACK)),--back)

##@ Quarantine
quarantine: $(READY) ## List the rejected rows, by file and reason
	@$(PY) -m etl quarantine

quarantine-export: $(READY) ## Write the open rows of a batch as CSV to correct [BATCH= FEED=]
	@$(PY) -m etl quarantine-export --batch $(call given,BATCH) $(if $(value FEED),--feed $(call given,FEED))

quarantine-replay: $(READY) ## Load corrected rows as if they had been right at first [FILE=]
	@$(PY) -m etl quarantine-replay --file $(call given,FILE)

sender-resume: $(READY) ## Let the held files of a sender load again [SENDER= FEED=]
	@$(PY) -m etl sender-resume --sender $(call given,SENDER) $(if $(value FEED),--feed $(call given,FEED))

##@ Who looked
audit: $(READY) ## Bring who looked at whom from the server's log into audit.look [LOG=]
	@$(PY) -m etl audit $(if $(value LOG),--log $(call given,LOG))

audit-verify: $(READY) ## See that no row of audit was changed, inserted, moved or lost
	@$(PY) -m etl audit-verify

audit-prune: $(READY) ## Delete what is older than six years from audit [CONFIRM=yes]
	@$(PY) -m etl audit-prune $(if $(filter yes,$(CONFIRM)),--confirm)

who-looked: $(READY) ## Say who looked at a member [MEMBER= SINCE= UNTIL=]
	@$(PY) -m etl who-looked --member $(call given,MEMBER) $(if $(value SINCE),--since $(call given,SINCE)) $(if $(value UNTIL),--until $(call given,UNTIL))

disclosure: $(READY) ## Enter a disclosure of a member's data [MEMBER= TO= WHAT= WHY= DATE=]
	@$(PY) -m etl disclosure --member $(call given,MEMBER) --to $(call given,TO) --what $(call given,WHAT) --why $(call given,WHY) $(if $(value DATE),--date $(call given,DATE))

disclosures: $(READY) ## Print the disclosures of a member's data in the last six years [MEMBER=]
	@$(PY) -m etl disclosures --member $(call given,MEMBER)

##@ Plans and use
plan-diff: $(READY) ## Show how the plans of the documented reports changed since a load or day [SINCE=]
	@$(PY) -m etl plan-diff $(if $(value SINCE),--since $(call given,SINCE))

usage: $(READY) ## Show who reads which table, view and cube [DAYS=90]
	@$(PY) -m etl usage $(if $(value DAYS),--days $(call given,DAYS))

deprecate-drop: $(READY) ## Drop a deprecated cube that is made no more, unless it was read in 30 days [CUBE=]
	@$(PY) -m etl deprecate-drop --cube $(call given,CUBE)
##@ Backups
backup: $(READY) ## Back up the database: what changed since the last one, or all of it [FULL=yes]
	@$(PY) -m etl backup $(if $(filter yes,$(FULL)),--full)

backups: $(READY) ## List the backups: age, size, what each builds on, whether it is proven
	@$(PY) -m etl backups

restore: $(READY) ## Restore the newest backup, another one, or a moment; then let the old go, or go back [BACKUP= AT= CONFIRM=yes UNDO=yes]
	@$(PY) -m etl restore $(if $(value BACKUP),--backup $(call given,BACKUP)) $(if $(value AT),--at $(call given,AT)) $(if $(filter yes,$(CONFIRM)),--confirm) $(if $(filter yes,$(UNDO)),--undo)

restore-drill: $(READY) ## Restore the newest backup to a second server, compare all of it, and remove it
	@$(PY) -m etl restore-drill

incident-drill: $(READY) ## Let faults happen in a warehouse of its own, and see what notices each
	@$(PY) -m etl incident-drill

##@ Files to take away
export: $(READY) ## Write tables as files, as a role reads them [FORMAT=parquet|csv|xlsx|duckdb TABLE= AS_KNOWN= TO= ROLE= STATES=]
	@$(PY) -m etl export $(if $(value FORMAT),--format $(call given,FORMAT)) $(if $(value TABLE),--table $(call given,TABLE)) $(if $(value AS_KNOWN),--as-known $(call given,AS_KNOWN)) $(if $(value TO),--to $(call given,TO)) $(if $(value ROLE),--role $(call given,ROLE)) $(if $(value STATES),--states $(call given,STATES))

##@ Masked copy
masked-inbox: $(READY) ## Write the inbox once more with invented people [TO=]
	@$(PY) -m etl masked-inbox --to $(call given,TO)

##@ Members
erase: $(READY) ## Make a member's number and direct values tokens everywhere [MEMBER= WHY= SHOW=yes]
	@$(PY) -m etl erase --member $(call given,MEMBER) --why $(call given,WHY) $(if $(filter yes,$(SHOW)),--show)

hold: $(READY) ## Let nothing of a member be erased or expire [MEMBER= WHY= RELEASE=yes]
	@$(PY) -m etl hold --member $(call given,MEMBER) --why $(call given,WHY) $(if $(filter yes,$(RELEASE)),--release)

##@ Development
test: $(READY) ## Run the tests, on up to four cores [ARGS=]
	@$(PY) -m pytest -n auto --dist worksteal -m 'not slow' $(ARGS)

test-slow: $(READY) ## Run the longer trials: kills, random histories by the hundred [ARGS=]
	@$(PY) -m pytest -n auto --dist worksteal -m slow $(ARGS)

mutate: $(READY) ## Break statements and stages one by one and list what no test notices [ARGS=]
	@$(PY) scripts/mutation/try_mutants.py $(ARGS)

lint: $(READY) ## Check style, types and SQL
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && $(PY) -m sqlfluff lint --disable-progress-bar sql

format: $(READY) ## Format Python and SQL
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format . && $(PY) -m sqlfluff fix --disable-progress-bar sql

docs: $(READY) ## Build the documentation in docs/_build/html
	@$(PY) -m etl docs && $(PY) -m sphinx -W docs docs/_build/html

migration: $(READY) ## Write the migration of changed declarations of tables [WHAT= BASELINE=yes]
	@$(PY) scripts/make_migration.py $(if $(value WHAT),--what $(call given,WHAT)) $(if $(filter yes,$(BASELINE)),--baseline)

bench: $(READY) $(PEERS_READY) ## Measure the load against a plain COPY [PEERS=1 ANALYSTS=1 ARGS=]
	@$(PY) scripts/bench/run.py $(if $(filter 1,$(PEERS)),--peers) $(if $(filter 1,$(ANALYSTS)),--analysts) $(ARGS)

lock: $(READY) ## Renew both locks after a change of pyproject.toml [UPGRADE=yes]
	@$(LOCK) --extra dev pyproject.toml -o requirements.lock && $(LOCK) --group peers -o scripts/bench/peers/requirements.lock

##@ Cleaning
clean: ## Delete caches and build output; the database stays
	@rm -rf .pytest_cache .ruff_cache .hypothesis docs/_build build *.egg-info && find etl migrations scripts tests -name __pycache__ -prune -exec rm -rf {} +

clean-data: $(READY) ## Stop the embedded server and delete its database [CONFIRM=yes FORCE=yes]
	@$(if $(filter yes,$(CONFIRM)),$(PY) -m etl clean-data --confirm $(if $(filter yes,$(FORCE)),--force),echo 'This deletes the database. If that is what you want: make clean-data CONFIRM=yes' >&2; exit 2)

.venv/.ready: requirements.lock pyproject.toml
	@scripts/setup.sh

.venv-peers/.ready: scripts/bench/peers/requirements.lock | .venv/.ready
	@scripts/bench/peers/setup.sh

# Every target with a help text is a command; none makes a file of its name.
.PHONY: remake $(shell awk -F ':.*## ' '/^[a-z-]+:.*## / {print $$1}' Makefile)
remake:
	@scripts/setup.sh
