#!/usr/bin/env bash
# semver4j 3.1.0 (Maven) and semver 7.8.6 (npm): one range, "NPM" to both, takes versions to one that it keeps from the other.
#
# semver4j is the Java library with which the classic Greengrass nucleus, among others, reads a component's VersionRequirement, by
# Requirement.buildNPM. One would expect npm's meaning of ranges. Seen: in a comparison npm takes a version with parts missing for
# all versions that begin so, semver4j fills in zeros, so `<=1` keeps 1.2.3 out on a device though npm lets it in, and `>1` the
# other way round. And npm never gives a pre-release to a range that names none of that very version; semver4j does where the
# range is a single comparison, so 2.0.0-rc.1 satisfies `<2.0.0` and `*`, but not `>=1.0.0 <2.0.0`. (Needs Java, Maven, Node.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --cache "$folder/cache" --prefix "$folder/npm" semver@7.8.6 >/dev/null
mvn --quiet --batch-mode -Dmaven.repo.local="$folder/repository" -DoutputDirectory="$folder/jars" \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact=com.vdurmont:semver4j:3.1.0 >"$folder/mvn.txt" 2>&1 ||
  { cat "$folder/mvn.txt"; exit 1; }
cat >"$folder/cases.tsv" <<'CASES'
1.2.3	<=1	npm true, semver4j false
1.2.3	<=1.2	npm true, semver4j false
1.2.3	>1	npm false, semver4j true
1.2.3	>1.2	npm false, semver4j true
1.2.3	>=1.2 <1.3	npm true, semver4j true
1.2.3	^1	npm true, semver4j true
2.0.0-rc.1	<2.0.0	npm false, semver4j true
2.0.0-rc.1	*	npm false, semver4j true
2.0.0-rc.1	>=1.0.0 <2.0.0	npm false, semver4j false
2.0.0-rc.1	>=2.0.0-rc.0	npm true, semver4j true
CASES
cat >"$folder/Ask.java" <<'JAVA'
import com.vdurmont.semver4j.Requirement;
import java.nio.file.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] asked = line.split("\t");
            System.out.println(Requirement.buildNPM(asked[1]).isSatisfiedBy(asked[0]));
        }
    }
}
JAVA
cat >"$folder/ask.js" <<'JAVASCRIPT'
const semver = require(process.argv[2] + "/npm/node_modules/semver");
for (const line of require("fs").readFileSync(process.argv[2] + "/cases.tsv", "utf8").trim().split("\n")) {
  const [version, range] = line.split("\t");
  console.log(semver.satisfies(version, range));
}
JAVASCRIPT
java -cp "$folder/jars/semver4j-3.1.0.jar" "$folder/Ask.java" "$folder/cases.tsv" >"$folder/java.txt"
node "$folder/ask.js" "$folder" >"$folder/node.txt"
paste "$folder/node.txt" "$folder/java.txt" | sed 's/\(.*\)\t\(.*\)/npm \1, semver4j \2/' >"$folder/said.txt"
cut -f 1,2 "$folder/cases.tsv" | paste - "$folder/said.txt"
cut -f 3 "$folder/cases.tsv" | cmp --silent - "$folder/said.txt" || { echo "it behaves otherwise now"; exit 1; }
