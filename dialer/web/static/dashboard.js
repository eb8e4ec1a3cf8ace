// The dashboard.

import { showOutcomes } from "./chart.js";
import { showConnection } from "./connection.js";
import { byId } from "./dom.js";
import { Live } from "./live.js";
import { showAlarms, showFigures, showReasons, showSystems } from "./systems.js";
import { CampaignTable } from "./table.js";
import { showVisitor } from "./visitor.js";

const table = new CampaignTable();
let outcomes = null;

showVisitor();
new Live(({ facts, campaigns }) => {
  document.body.classList.add("known");
  showAlarms(facts.alarms);
  showReasons(facts.explanation, "Why is nothing dialing?");
  showFigures(facts, campaigns);
  showSystems(facts);
  if (facts.outcomes !== outcomes) showOutcomes(byId("outcomes"), (outcomes = facts.outcomes));
  table.show(campaigns);
}, showConnection);
