"""What lies on the target: releases, environments, state."""
