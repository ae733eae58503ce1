# Sortie's only makefile. `make help` lists the targets.
#
# Sources are found by folder: a new .c file needs no change here. Nothing is
# asked of pkg-config or a compiler before `deps` had its chance to install
# them, so a bare Debian 12 with make alone can start with any target.

BUILD  ?= build
WERROR ?= -Werror
DEPS   ?= 1
SKIP   ?=
ifneq ($(filter default undefined,$(origin CC)),)
CC := gcc
endif
CLANG := clang-14
PYTHON := /usr/bin/python3

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/sortie
LIBDIR     ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc

FUZZ_SECONDS ?= 20
FUZZ_JOBS    ?= 2
CHECK_FUZZ_SECONDS ?= 4

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables

# ---- sources ---------------------------------------------------------------

# In the order of the way down; FOLDERS narrows what the tests link with.
DAEMON_FOLDERS := daemon/control daemon/receive daemon/queue daemon/deliver \
	daemon/net
LIB_FOLDERS    := policy store mime dkim spf conf base
FOLDERS        ?= $(DAEMON_FOLDERS) $(LIB_FOLDERS)

c_in = $(filter-out $(SKIP),$(sort $(wildcard $(1)/*.c)))
objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
# The archives of those of the given folders that hold any source.
libs = $(strip $(foreach f,$(1),$(if $(call c_in,$(f)),\
	$(BUILD)/lib/$(subst /,-,$(f)).a)))

DAEMON_SRC := $(call c_in,daemon)
CLI_SRC    := $(call c_in,cli)
CLI_MAIN   := $(if $(CLI_SRC),$(shell grep -lw '^main' $(CLI_SRC)))
UNIT_SRC   := $(filter tests/unit/test_%,$(call c_in,tests/unit))
BENCH_SRC  := $(filter-out tests/bench/common_%,$(call c_in,tests/bench))
FUZZ_SRC   := $(filter tests/fuzz/fuzz_%,$(call c_in,tests/fuzz))
FAULT_SRC  := $(call c_in,tests/fault)
TOOL_SRC   := $(call c_in,tests/tools)
UNIT_MODEL   := $(filter tests/unit/common_model%,$(call c_in,tests/unit))
UNIT_COMMON  := $(filter-out $(UNIT_MODEL),\
	$(filter tests/unit/common_%,$(call c_in,tests/unit)))
BENCH_COMMON := $(filter tests/bench/common_%,$(call c_in,tests/bench))
FUZZ_COMMON  := $(filter tests/fuzz/common_%,$(call c_in,tests/fuzz))

ALL_SRC := $(DAEMON_SRC) $(CLI_SRC) \
	$(foreach f,$(DAEMON_FOLDERS) $(LIB_FOLDERS),$(call c_in,$(f))) \
	$(call c_in,tests/unit) $(call c_in,tests/bench) \
	$(call c_in,tests/fuzz) $(call c_in,tests/fault) $(TOOL_SRC)
ALL_HDR := $(sort $(wildcard $(addsuffix /*.h,cli daemon $(DAEMON_FOLDERS) \
	$(LIB_FOLDERS) tests/unit tests/bench tests/fuzz tests/fault)))

PROGRAMS := $(if $(filter daemon/main.c,$(DAEMON_SRC)),$(BUILD)/sortied) \
	$(if $(CLI_MAIN),$(BUILD)/sortie)
# TESTS="buf err" and TARGETS="address" pick unit tests and fuzz targets.
UNIT     := $(patsubst %,$(BUILD)/unit/%,$(if $(TESTS),\
	$(addprefix test_,$(TESTS)),$(basename $(notdir $(UNIT_SRC)))))
BENCH    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))
# Programs that tests in Python talk to.
TOOLS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TOOL_SRC))
FAULT    := $(patsubst tests/fault/%.c,$(BUILD)/fault/%.so,$(FAULT_SRC))
# Programs with a mistake that the fault cases must find.
MUTANTS  := $(patsubst tests/fault/%.patch,$(BUILD)/fault/sortied-%,\
	$(sort $(wildcard tests/fault/*.patch)))
FUZZ     := $(patsubst %,$(BUILD)/%,$(if $(TARGETS),\
	$(addprefix fuzz_,$(TARGETS)),$(basename $(notdir $(FUZZ_SRC)))))

# ---- flags -----------------------------------------------------------------

PKGS := libevent libevent_openssl openssl libunbound sqlite3 jansson \
	libsystemd libidn2 libconfig libcurl libcrypt libseccomp zlib opendkim

# Asked once, when a recipe first needs the answer.
PKG_CPPFLAGS = $(eval PKG_CPPFLAGS := $$(patsubst -I%,-isystem %,$$(shell \
	pkg-config --cflags-only-I $(PKGS))))$(PKG_CPPFLAGS)
PKG_LDLIBS = $(eval PKG_LDLIBS := $$(shell \
	pkg-config --libs $(PKGS)) -lspf2)$(PKG_LDLIBS)

CPPFLAGS_ALL = -D_GNU_SOURCE -I. $(PKG_CPPFLAGS) $(CPPFLAGS)

# Not -Wformat-truncation=2: bounded texts are cut on purpose here.
WARN := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wswitch-enum \
	-Wimplicit-fallthrough -Wnull-dereference -Wredundant-decls \
	-Wconversion -Wsign-conversion
ifneq ($(findstring clang,$(CC)),)
WARN += -Wcomma -Wassign-enum -Wconditional-uninitialized -Wunreachable-code
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
	-Wjump-misses-init
endif

comma := ,

# SANITIZE: a -fsanitize list instead of optimisation and hardening.
SANITIZE ?=
ifeq ($(SANITIZE),)
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE \
	-fno-common -fno-strict-overflow -fno-delete-null-pointer-checks \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
ifneq ($(filter x86_64 i%86,$(shell uname -m)),)
HARDEN += -fcf-protection
endif
CFLAGS ?= -O2 -g
LINK_HARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
else
HARDEN := -fno-omit-frame-pointer -fno-common -fno-sanitize-recover=all \
	-fsanitize=$(SANITIZE)$(if $(FUZZING),$(comma)fuzzer-no-link)
CFLAGS ?= -O1 -g3
LINK_HARDEN := -fsanitize=$(SANITIZE)
endif
CFLAGS_ALL  = -std=gnu17 $(CFLAGS) $(WARN) $(HARDEN) -pthread
LDFLAGS_ALL = $(LINK_HARDEN) -Wl,--as-needed -pthread $(LDFLAGS)

COMPILE = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)
# libopendkim must find the program's own: dkim/key_cache.c says why.
EXPORT := -Wl,--export-dynamic-symbol=PEM_read_bio_PrivateKey
# $(1) objects, $(2) archives, $(3) further flags
LINK = $(CC) $(CFLAGS) $(LDFLAGS_ALL) $(EXPORT) $(3) -o $@ $(1) \
	-Wl,--start-group $(2) -Wl,--end-group $(PKG_LDLIBS) -lm

V ?= 0
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
endif

# ---- what people ask for ---------------------------------------------------

all: $(PROGRAMS) ## the two programs: $(BUILD)/sortied and $(BUILD)/sortie

lab: all deps-check ## a gateway and an outside world on loopback (KEEP=1)
	SORTIE_BUILD=$(abspath $(BUILD)) tests/lab/run

# A check tries the same inputs each time; what is new is looked for by fuzz.
check: ## everything below in turn; what CI runs
	$(Q)$(MAKE) --no-print-directory lint
	$(Q)$(MAKE) --no-print-directory all check-unit
	$(Q)FUZZ_SEED=1 $(MAKE) --no-print-directory fuzz \
		FUZZ_SECONDS=$(CHECK_FUZZ_SECONDS)
	$(Q)$(MAKE) --no-print-directory check-system
	$(Q)$(MAKE) --no-print-directory check-fault FAULT_QUICK=1

check-unit: $(UNIT) | deps-check ## unit tests; TESTS="buf err" picks
	$(Q)tests/unit/run $(BUILD)/unit $(notdir $(UNIT))

# PYTEST: further arguments, such as -k NAME. Most of a test is waiting: four
# files at once (SYSTEM_JOBS=0: one after the other, in one process).
SYSTEM_JOBS ?= 4
check-system: all $(TOOLS) deps-check ## the programs against real peers
	$(Q)$(call pytest,tests/system,-n $(SYSTEM_JOBS) --dist loadfile)

# FAULT_QUICK=1: the selection that belongs to `check`.
check-fault: all $(FAULT) $(MUTANTS) $(BUILD)/bench/queue_fill \
	deps-check ## kill -9, power cut, full disk, evil peers
	$(Q)FAULT_QUICK=$(FAULT_QUICK) $(call pytest,tests/fault)

check-browser: all deps-check ## stationery in Chromium (installs it)
	$(Q)SORTIE_BUILD=$(abspath $(BUILD)) tests/browser/run $(PYTEST)

pytest = $(if $(wildcard $(1)/test_*.py),SORTIE_BUILD=$(abspath $(BUILD)) \
	$(PYTHON) -m pytest -q -rf -p no:cacheprovider $(2) $(PYTEST) $(1),\
	echo "$(1): no tests")

bench: all $(BENCH) deps-check ## speed and memory beside other MTAs
	SORTIE_BUILD=$(abspath $(BUILD)) tests/bench/run $(BENCH_ARGS)

soak: all $(BENCH) deps-check ## five minutes of load, memory flat
	SORTIE_BUILD=$(abspath $(BUILD)) tests/bench/run soak $(SOAK_ARGS)

bench-build: $(BENCH)

asan: ## programs and unit tests under ASan and UBSan
	$(Q)UNIT_SECONDS=600 $(MAKE) --no-print-directory BUILD=$(BUILD)-asan CC=$(CLANG) \
		SANITIZE=address,undefined all check-unit

tsan: ## programs and unit tests under ThreadSanitizer
	$(Q)UNIT_SECONDS=600 \
		TSAN_OPTIONS=suppressions=$(CURDIR)/tests/unit/tsan.supp \
		$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan CC=$(CLANG) \
		SANITIZE=thread all check-unit

fuzz: fuzz-build ## every fuzz target for FUZZ_SECONDS each
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_JOBS=$(FUZZ_JOBS) \
		tests/fuzz/run $(BUILD) $(notdir $(FUZZ))

fuzz-build:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(CLANG) \
		SANITIZE=address,undefined FUZZING=1 fuzz-programs

fuzz-programs: $(if $(FUZZING),$(FUZZ))

lint: | deps-build deps-check ## layering, lengths, banned functions, headers
	$(Q)$(PYTHON) tests/lint.py --self-test
	$(Q)LINT_CC="$(CC) $(CPPFLAGS_ALL)" $(PYTHON) tests/lint.py
	$(Q)$(PYTHON) tests/coverage.py --self-test
	$(Q)$(PYTHON) tests/coverage.py

TIDY_SRC = $(if $(FILES),$(FILES),$(ALL_SRC))
tidy: | deps-build deps-check ## clang-tidy over all sources; FILES= picks
	$(Q)printf '%s\n' $(TIDY_SRC) | xargs -P 2 -n 1 sh -c \
		'clang-tidy-14 --quiet "$$@" -- -std=gnu17 $(CPPFLAGS_ALL)' --

format: | deps-build ## reformat all sources
	$(Q)clang-format-14 -i $(ALL_SRC) $(ALL_HDR)

format-check: | deps-build ## fail if format would change anything
	$(Q)clang-format-14 --dry-run -Werror $(ALL_SRC) $(ALL_HDR)

deps: deps-build deps-check ## install missing Debian packages (root or sudo)

deps-build deps-check: deps-%:
ifeq ($(DEPS),1)
	$(Q)tests/deps.sh $*
else
	@:
endif

clean: ## remove what was built
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan
	find tests -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r t d; do printf '%-14s %s\n' "$$t" "$$d"; done
	@echo 'Variables: BUILD=dir CC=gcc|clang-14 V=1 WERROR= SKIP="files"' \
		'FOLDERS="base conf ..." DEPS=0 PREFIX= DESTDIR='

.PHONY: all lab check check-unit check-system check-fault check-browser bench \
	bench-build \
	tools asan tsan fuzz fuzz-build fuzz-programs lint tidy format format-check \
	deps deps-build deps-check clean help install uninstall FORCE

# ---- building --------------------------------------------------------------

# Files that change only when their content would: whatever depends on them
# is made again after a change of flags, or when a source came or went.
keep = $(Q)mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || \
	printf '%s\n' '$(1)' >$@

$(BUILD)/flags: FORCE | deps-build
	$(call keep,$(COMPILE) $(LDFLAGS_ALL) $(EXPORT) $(PKG_LDLIBS))

# A fuzz target has no prototype that it could include.
$(BUILD)/obj/tests/fuzz/%.o: WARN += -Wno-missing-prototypes

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

# $(1) archive without suffix, $(2) sources
define archive_rule
$(1).list: FORCE
	$$(call keep,$(2))

$(1).a: $(call objs,$(2)) $(1).list
	$$(say) AR $$@
	$$(Q)mkdir -p $$(@D); rm -f $$@
	$$(Q)ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(DAEMON_FOLDERS) $(LIB_FOLDERS),$(if $(call c_in,$(f)),\
	$(eval $(call archive_rule,$(BUILD)/lib/$(subst /,-,$(f)),\
	$(call c_in,$(f))))))

# What tests of a kind share; an archive gives each only what it uses.
common = $(if $(2),$(eval $(call archive_rule,$(BUILD)/lib/tests-$(1),$(2)))\
	$(BUILD)/lib/tests-$(1).a)
UNIT_LIBS  := $(call common,unit,$(UNIT_COMMON))
MODEL_LIBS := $(call common,model,$(UNIT_MODEL))
BENCH_LIBS := $(call common,bench,$(BENCH_COMMON))
FUZZ_LIBS  := $(call common,fuzz,$(FUZZ_COMMON))

ALL_LIBS := $(call libs,$(FOLDERS))
CLI_LIBS := $(call libs,policy mime spf dkim conf base)

$(BUILD)/sortied: $(call objs,$(DAEMON_SRC)) $(ALL_LIBS)
	$(say) LD $@
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^))

$(BUILD)/sortie: $(call objs,$(CLI_SRC)) $(CLI_LIBS)
	$(say) LD $@
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^))

$(UNIT): $(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o \
		$(UNIT_LIBS) $(ALL_LIBS)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^),) -lcmocka -lopendmarc

$(TOOLS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(UNIT_LIBS) $(ALL_LIBS)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^))

tools: $(TOOLS)

$(BENCH): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o \
		$(BENCH_LIBS) $(UNIT_LIBS) $(ALL_LIBS)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^))

$(FUZZ): $(BUILD)/%: $(BUILD)/obj/tests/fuzz/%.o \
		$(FUZZ_LIBS) $(UNIT_LIBS) $(ALL_LIBS)
	$(say) LD $@
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^),-fsanitize=fuzzer)

# The models stand in for functions of the C library (connect, clock_gettime):
# no program has them that did not ask for them.
MODEL_USERS := $(basename $(notdir $(shell grep -lF '"tests/unit/common_model' \
	$(UNIT_SRC) $(FUZZ_SRC) /dev/null)))
$(filter $(addprefix %/,$(MODEL_USERS)),$(UNIT) $(FUZZ)): $(MODEL_LIBS)

# Libraries to preload into the daemon, so that system calls can fail.
$(FAULT): $(BUILD)/fault/%.so: tests/fault/%.c $(BUILD)/flags
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -fPIC -shared -MMD -MP -MF $(@:.so=.d) -o $@ $< -ldl

# early_ack.patch: what is wrong in queue.c. The object comes before the
# archive that holds its good twin.
$(BUILD)/fault/early_ack.c: daemon/queue/queue.c tests/fault/early_ack.patch \
		| deps-check
	$(Q)mkdir -p $(@D)
	$(Q)patch -s -o $@ $^

$(BUILD)/fault/early_ack.o: $(BUILD)/fault/early_ack.c $(BUILD)/flags
	$(say) CC $<
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/fault/sortied-early_ack: $(call objs,$(DAEMON_SRC)) \
		$(BUILD)/fault/early_ack.o $(ALL_LIBS)
	$(say) LD $@
	$(Q)$(call LINK,$(filter %.o,$^),$(filter %.a,$^))

$(UNIT): | deps-check
.SECONDARY:

-include $(patsubst %.o,%.d,$(call objs,$(ALL_SRC))) $(FAULT:.so=.d) \
	$(BUILD)/fault/early_ack.d

# ---- installing ------------------------------------------------------------

UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket))
PAGES := $(wildcard daemon/*.8 cli/*.1 conf/*.5)
page_dir = $(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))
SYSUSERS := $(firstword $(wildcard systemd/*sysusers*))
TMPFILES := $(firstword $(wildcard systemd/*tmpfiles*))
EXAMPLE  := $(wildcard conf/sortie.conf.example)

install: all ## into DESTDIR and PREFIX: programs, manuals, example, units
	install -D -m 755 $(BUILD)/sortied $(DESTDIR)$(SBINDIR)/sortied
	install -D -m 755 $(BUILD)/sortie $(DESTDIR)$(BINDIR)/sortie
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/sortie
	set -e; $(foreach p,$(PAGES),install -D -m 644 $(p) \
		$(DESTDIR)$(call page_dir,$(p))/$(notdir $(p));) :
	set -e; $(foreach f,$(EXAMPLE),install -D -m 644 $(f) \
		$(DESTDIR)$(DOCDIR)/$(notdir $(f));) :
	install -d -m 755 $(DESTDIR)$(LIBDIR)/systemd/system
	set -e; $(foreach u,$(UNITS),sed -e 's|/usr/sbin/|$(SBINDIR)/|g' \
		-e 's|/usr/bin/sortie|$(BINDIR)/sortie|g' systemd/$(u) \
		>$(DESTDIR)$(LIBDIR)/systemd/system/$(u);) :
	set -e; $(foreach f,$(SYSUSERS),install -D -m 644 $(f) \
		$(DESTDIR)$(LIBDIR)/sysusers.d/sortie.conf;) :
	set -e; $(foreach f,$(TMPFILES),install -D -m 644 $(f) \
		$(DESTDIR)$(LIBDIR)/tmpfiles.d/sortie.conf;) :

uninstall: ## what install put there; configuration and state stay
	rm -f $(DESTDIR)$(SBINDIR)/sortied $(DESTDIR)$(BINDIR)/sortie
	rm -f $(foreach p,$(PAGES),\
		$(DESTDIR)$(call page_dir,$(p))/$(notdir $(p)))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/systemd/system/,$(UNITS))
	rm -f $(DESTDIR)$(LIBDIR)/sysusers.d/sortie.conf
	rm -f $(DESTDIR)$(LIBDIR)/tmpfiles.d/sortie.conf
	rm -rf $(DESTDIR)$(DOCDIR)
	-rmdir $(DESTDIR)$(SYSCONFDIR)/sortie
