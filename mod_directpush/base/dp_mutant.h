/* dp_mutant: rules left out on purpose, in builds for tests only.
 *
 * With `configure --enable-mutants` the environment variable DP_MUTANT names
 * mutants of tests/model/mutants.def, separated by commas, of which a process
 * is made. It is read when the program or the module is loaded; a name that is
 * not there ends the process. In all other builds DP_MUTANT() is the constant
 * 0, and nothing of this is in the object files (tests/check/mutants).
 *
 * A build with mutants can also dawdle where rules are about the order of two
 * things, so that what is published in between is not as rare as it should be:
 * DP_MUTANT_WINDOW(). That is allowed to everybody, and harmless: DP_MUTANT=none
 * does it and leaves out no rule.
 */
#ifndef DP_MUTANT_H
#define DP_MUTANT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef DP_MUTANTS

#define DP_MUTANT_ITEM(name, model, place, paragraph, what) DP_MUTANT_##name,
#define DP_MUTANT_CODE_ONLY(name, place, paragraph, what, why) DP_MUTANT_##name,
#define DP_MUTANT_MODEL_ONLY(name, model, place, paragraph, what, why)
typedef enum dp_mutant {
#include "../../tests/model/mutants.def"
    DP_MUTANT_none,
    DP_MUTANTS_N
} dp_mutant;
#undef DP_MUTANT_ITEM
#undef DP_MUTANT_CODE_ONLY
#undef DP_MUTANT_MODEL_ONLY

/** Is this rule left out? Any thread. */
#define DP_MUTANT(name) (dp_mutant_is_active[DP_MUTANT_##name])
extern bool dp_mutant_is_active[DP_MUTANTS_N];

/** The `n`th of those that are active, for the log; NULL after the last. */
const char *dp_mutant_named(size_t n);

/** Dawdle now and then, if DP_MUTANT is set at all. */
#define DP_MUTANT_WINDOW() dp_mutant_window()
void dp_mutant_window(void);

#else

#define DP_MUTANT(name)    0
#define DP_MUTANT_WINDOW() ((void)0)
#define dp_mutant_named(n) ((const char *)NULL)

#endif
#endif
