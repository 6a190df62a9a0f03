// Validates OpenAPI documents with a validator that is not ours, and resolves every reference in them:
//   node validate.mjs MODULES FILE...
// MODULES is the folder that `npm ci` has filled. Prints what is wrong, and exits 1.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const entry = `${modules}/node_modules/@seriousme/openapi-schema-validator/index.js`;
const { Validator } = await import(pathToFileURL(entry));

let failed = false;
for (const file of files) {
  const validator = new Validator();
  const document = JSON.parse(readFileSync(file, "utf8"));
  const result = await validator.validate(document);
  if (!result.valid || validator.version !== "3.1") {
    failed = true;
    console.log(`${file}: version ${validator.version}: ${JSON.stringify(result.errors, null, 1)}`);
    continue;
  }
  validator.resolveRefs();
}
process.exit(failed ? 1 : 0);
